//! What stopped a cell → `ename`, `evalue` and a traceback in terms of the cells' own lines.

use serde_json::{Value, json};

use crate::kernel::messages::width;

/// The three fields of an error message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub name: String,
    pub value: String,
    pub traceback: Vec<String>,
}

pub const RED: &str = "\x1b[1;31m";
pub const BLUE: &str = "\x1b[1;34m";
pub const BOLD: &str = "\x1b[1m";
pub const OFF: &str = "\x1b[0m";

/// What becomes of the variables when a cell fails or is stopped.
pub const KEPT: &str = "the variables of earlier cells are kept; new ones of this cell are not";

/// What becomes of them when their process ends.
pub const GONE: &str = "all variables are lost\nfunctions, types and `use` lines are kept";

/// A cell whose process was ended, since nothing else ended it.
pub fn killed() -> Failure {
    Failure::new("KeyboardInterrupt", &format!("the cell did not stop, so its process was ended: {GONE}"))
}

/// A cell whose thread was made to stand still, with the variables that it had taken.
pub fn given_up(lost: &[String]) -> Failure {
    let used = if lost.is_empty() {
        "all variables of earlier cells are kept, since it used none of them".to_string()
    } else {
        format!("the variables that it used are lost: {}\nthe other variables of earlier cells are kept", lost.join(", "))
    };
    let text = format!(
        "the cell did not end, so its thread was stopped for good\n{used}\na lock, a file or a port that it holds stays held; to free all: :restart"
    );
    Failure::new("KeyboardInterrupt", &text)
}

impl Failure {
    /// A failure whose traceback is its name and text.
    pub fn new(name: &str, value: &str) -> Failure {
        let (first, rest) = value.split_once('\n').unwrap_or((value, ""));
        let mut traceback = vec![format!("{RED}{name}{OFF}{BOLD}: {first}{OFF}")];
        traceback.extend(rest.lines().map(str::to_string));
        Failure { name: name.into(), value: value.into(), traceback }
    }

    /// The same with a place in a cell.
    pub fn at(name: &str, value: &str, label: &Label) -> Failure {
        let mut failure = Failure::new(name, value);
        failure.traceback.splice(1..1, snippet(&[label]));
        failure
    }

    /// The content of an `error` message.
    pub fn content(&self) -> Value {
        json!({ "ename": self.name, "evalue": self.value, "traceback": self.traceback })
    }
}

/// A marked piece of a cell; lines and columns count from 1, the end column is exclusive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The number of the cell.
    pub cell: usize,
    pub line: usize,
    pub columns: std::ops::Range<usize>,
    pub text: String,
    pub primary: bool,
    /// The text of the line.
    pub source: String,
}

/// The place, then each marked line with its labels under it, a part for each cell.
pub fn snippet(labels: &[&Label]) -> Vec<String> {
    let mut labels = labels.to_vec();
    labels.sort_by_key(|label| (label.line, !label.primary, label.columns.start));
    labels.dedup();
    let width = labels.iter().map(|label| label.line.to_string().len()).max().unwrap_or(1);
    let gutter = format!("{BLUE}{:width$} |{OFF}", "");
    let mut cells: Vec<(bool, usize)> = labels.iter().map(|label| (!label.primary, label.cell)).collect();
    cells.sort_unstable();
    let mut cells: Vec<usize> = cells.into_iter().map(|(_, cell)| cell).collect();
    let mut seen = std::collections::HashSet::new();
    cells.retain(|cell| seen.insert(*cell));
    let mut out = Vec::new();
    for (index, cell) in cells.into_iter().enumerate() {
        let here: Vec<&&Label> = labels.iter().filter(|label| label.cell == cell).collect();
        let Some(place) = here.iter().find(|label| label.primary).or(here.first()) else { continue };
        let arrow = if index == 0 { "-->" } else { ":::" };
        out.push(format!("{BLUE}{:width$}{arrow}{OFF} cell {cell}, line {}, column {}", "", place.line, place.columns.start));
        out.push(gutter.clone());
        let mut last = 0;
        for label in here {
            if label.line != last {
                out.push(format!("{BLUE}{:>width$} |{OFF} {}", label.line, label.source));
                last = label.line;
            }
            let (mark, colour) = if label.primary { ("^", RED) } else { ("-", BLUE) };
            let before = width::blank(label.source.chars().take(label.columns.start - 1));
            let marked = label.source.chars().skip(label.columns.start - 1).take(label.columns.len().max(1));
            let marks = mark.repeat(marked.map(width::columns).sum::<usize>().max(1));
            let text = label.text.lines().next().unwrap_or_default();
            out.push(format!("{gutter} {before}{colour}{}{OFF}", format!("{marks} {text}").trim_end()));
        }
    }
    out
}

/// A line under a message: `help`, `note` or `rule`, and its text.
pub fn remark(kind: &str, text: &str) -> Vec<String> {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let mut out = vec![format!("  {BLUE}={OFF} {BOLD}{kind}{OFF}: {}", lines.next().unwrap_or_default())];
    out.extend(lines.map(|line| format!("    {line}")));
    out
}

/// A traceback without colours.
pub fn plain_text(lines: &[String]) -> String {
    [RED, BLUE, BOLD, OFF].iter().fold(lines.join("\n"), |text, colour| text.replace(colour, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(cell: usize, line: usize, columns: std::ops::Range<usize>, text: &str, primary: bool, source: &str) -> Label {
        Label { cell, line, columns, text: text.into(), primary, source: source.into() }
    }

    #[test]
    fn labels_stand_under_their_lines_and_cells() {
        let source = "let é: i32 = \"é\";";
        let labels = [
            label(3, 2, 8..11, "expected due to this", false, source),
            label(1, 12, 4..5, "defined here", false, "fn f() {}"),
            label(3, 2, 14..17, "expected `i32`, found `&str`\nmore", true, source),
        ];
        let expected = "  --> cell 3, line 2, column 14\n   |\n 2 | let é: i32 = \"é\";\n   |              ^^^ expected `i32`, found `&str`\n   |        --- expected due to this\n  ::: cell 1, line 12, column 4\n   |\n12 | fn f() {}\n   |    - defined here";
        assert_eq!(plain_text(&snippet(&labels.iter().collect::<Vec<_>>())), expected);
    }

    #[test]
    fn wide_characters_and_tabs_keep_the_marks_in_place() {
        let label = label(1, 1, 4..6, "", true, "\t漢 漢x");
        let text = plain_text(&Failure::at("Name", "what\nmore", &label).traceback);
        assert_eq!(text, "Name: what\n --> cell 1, line 1, column 4\n  |\n1 | \t漢 漢x\n  | \t   ^^^\nmore");
    }
}
