//! Learners and exercises → the table of who solved what: for a terminal, as CSV, as Markdown.

use std::collections::BTreeSet;

use crate::lab::grading::learner::{Learner, Mark};
use crate::lab::grading::number::Number;

/// What a table is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Terminal,
    Csv,
    Markdown,
}

/// What the signs of the terminal mean.
const SIGNS: &str = "✓ solved   ? claimed, see the notes   3 tried so often, not solved";

/// Writes the table: a line for each learner, a column for each exercise, and the sum.
pub fn write(learners: &[Learner], exercises: &BTreeSet<Number>, form: Form) -> String {
    let mut head: Vec<String> = vec!["learner".into()];
    head.extend(exercises.iter().map(ToString::to_string));
    head.push("solved".into());
    let row = |learner: &Learner| {
        let solved = exercises.iter().filter(|number| learner.marks.get(number) == Some(&Mark::Solved)).count();
        let mut row = vec![learner.name.clone()];
        row.extend(exercises.iter().map(|number| learner.marks.get(number).map_or(String::new(), |mark| sign(*mark, form))));
        row.push(match form {
            Form::Csv => solved.to_string(),
            _ => format!("{solved} of {}", exercises.len()),
        });
        row
    };
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(learners.iter().map(row)).collect();
    match form {
        Form::Csv => rows.iter().map(|row| row.iter().map(|text| field(text)).collect::<Vec<_>>().join(",") + "\n").collect(),
        Form::Markdown => {
            let line =
                |row: &Vec<String>| format!("| {} |\n", row.iter().map(|text| text.replace('|', "\\|")).collect::<Vec<_>>().join(" | "));
            let rule = format!("|{}\n", "---|".repeat(rows[0].len()));
            rows.iter().enumerate().map(|(place, row)| if place == 0 { line(row) + &rule } else { line(row) }).collect()
        }
        Form::Terminal => {
            let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
            let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
            let line = |row: &Vec<String>| {
                let cells: Vec<String> = row.iter().zip(&widths).map(|(text, width)| format!("{text:<width$}")).collect();
                cells.join("  ").trim_end().to_string() + "\n"
            };
            rows.iter().map(line).collect::<String>() + SIGNS + "\n"
        }
    }
}

fn sign(mark: Mark, form: Form) -> String {
    match (mark, form) {
        (Mark::Solved, Form::Terminal | Form::Markdown) => "✓".into(),
        (Mark::Claimed, Form::Terminal | Form::Markdown) => "?".into(),
        (Mark::Tried(tries), Form::Terminal | Form::Markdown) => tries.to_string(),
        (Mark::Solved, Form::Csv) => "solved".into(),
        (Mark::Claimed, Form::Csv) => "claimed".into(),
        (Mark::Tried(tries), Form::Csv) => format!("tried {tries}"),
    }
}

/// A field of CSV; a table program shall not take a folder's name for a formula.
fn field(text: &str) -> String {
    let text = if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text.to_string() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_line_for_each_learner_in_every_form() {
        let number = |text: &str| Number::read(text).unwrap();
        let learner = |name: &str, marks: &[(&str, Mark)]| Learner {
            name: name.into(),
            folder: "".into(),
            marks: marks.iter().map(|(text, mark)| (number(text), *mark)).collect(),
            notes: vec![],
        };
        let learners = [learner("ann|b", &[("1.1", Mark::Solved), ("2.10", Mark::Tried(3))]), learner("=1,2", &[("2.2", Mark::Claimed)])];
        let exercises = ["2.10", "1.1", "2.2"].into_iter().map(number).collect();
        let book = |form| write(&learners, &exercises, form);
        assert_eq!(book(Form::Csv), "learner,1.1,2.2,2.10,solved\nann|b,solved,,tried 3,1\n\"'=1,2\",,claimed,,0\n");
        let markdown = "| learner | 1.1 | 2.2 | 2.10 | solved |\n|---|---|---|---|---|\n| ann\\|b | ✓ |  | 3 | 1 of 3 |\n| =1,2 |  | ? |  | 0 of 3 |\n";
        assert_eq!(book(Form::Markdown), markdown);
        let lines = "learner  1.1  2.2  2.10  solved\nann|b    ✓         3     1 of 3\n=1,2          ?          0 of 3\n";
        assert_eq!(book(Form::Terminal), format!("{lines}{SIGNS}\n"));
    }
}
