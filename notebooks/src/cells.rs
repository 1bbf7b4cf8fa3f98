//! The text of a lesson file ↔ its cells, without loss: `join(split(text)) = text`.
//!
//! A lesson is one function. A line `// %% [markdown]` opens a text cell, made of comment lines; a line `// %%` opens a
//! code cell. What may stand behind either is in [`crate::marker`]. Lines `// => …` at the end of a code cell are its
//! contracts ([`crate::contract`]). An exercise and its solution are blocks in braces, so that both compile and no later cell can
//! use what they define; in a notebook the braces are gone. The function's last `Ok(())` ends the last cell.

use crate::contract::Contract;
use crate::marker::{Kind, MARKER, Marker, Part};
use crate::scan::starts_inside;

const INDENT: &str = "    ";
const END: &str = "    Ok(())";
const CONTRACT: &str = "// => ";
/// What encloses an exercise or a solution.
const BLOCK: [&str; 2] = ["    {", "    }"];
/// The most lines of an exercise's cell, solved or not.
pub const EXERCISE_LINES: usize = 12;

/// One cell of a lesson.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    pub kind: Kind,
    /// The id that the lesson gives; `None` where it leaves the id to the cell's place.
    pub id: Option<String>,
    pub part: Part,
    /// Numbers of the list of what the course covers ([`crate::coverage`]).
    pub covers: Vec<u32>,
    /// The text without comment signs, or the code without the function's indentation; no newline at its end.
    pub source: String,
    /// What the cell promises, as text, in order; kept out of `source`.
    pub contracts: Vec<String>,
    /// The number of the line that opens it.
    pub line: usize,
    /// Empty lines between this cell and what follows.
    blank_lines: usize,
}

/// A lesson file, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lesson {
    /// Everything before the first cell.
    pub header: String,
    pub cells: Vec<Cell>,
    /// Everything from the last `Ok(())`.
    pub footer: String,
}

impl Lesson {
    /// Takes a lesson file apart.
    ///
    /// # Errors
    /// The line that does not have the form of a lesson.
    pub fn split(text: &str) -> Result<Lesson, String> {
        let lines: Vec<&str> = text.lines().collect();
        let inside = starts_inside(&lines);
        let is_marker = |line: usize| !inside[line] && lines[line].starts_with(MARKER);
        let end = (0..lines.len())
            .rev()
            .find(|&line| !inside[line] && lines[line] == END)
            .ok_or_else(|| format!("the last statement of the lesson is not `{END}`"))?;
        let first = (0..end).find(|&line| is_marker(line)).ok_or_else(|| format!("no line `{MARKER}` opens a cell"))?;
        let mut cells: Vec<Cell> = Vec::new();
        let mut start = first;
        while start < end {
            let next = (start + 1..end).find(|&line| is_marker(line)).unwrap_or(end);
            let cell = cell(&lines[start..next], &inside[start..next], start + 1)?;
            follows(cells.last(), &cell)?;
            cells.push(cell);
            start = next;
        }
        if let Some(Cell { part: Part::Exercise(number), line, .. }) = cells.last() {
            return Err(unsolved(*line, number));
        }
        let lesson = Lesson { header: block(&lines[..first]), cells, footer: block(&lines[end..]) };
        let joined = lesson.join();
        if joined == text {
            return Ok(lesson);
        }
        let line = joined.lines().zip(text.lines()).take_while(|(a, b)| a == b).count();
        Err(format!("line {}: spaces at the end of a line, or no newline at the end of the file", line + 1))
    }

    /// Puts the file together again.
    pub fn join(&self) -> String {
        let mut text = self.header.clone();
        for cell in &self.cells {
            let Cell { kind, id, part, covers, .. } = cell.clone();
            text.push_str(&Marker { kind, id, part, covers }.write());
            text.push('\n');
            let [open, close] = if cell.part == Part::Lesson { ["", ""] } else { BLOCK };
            let indent = if open.is_empty() { INDENT.to_string() } else { INDENT.repeat(2) };
            text.extend([open, if open.is_empty() { "" } else { "\n" }]);
            let lines: Vec<&str> = if cell.source.is_empty() { Vec::new() } else { cell.source.split('\n').collect() };
            let inside = starts_inside(&lines);
            for (line, inside) in lines.iter().zip(inside) {
                match cell.kind {
                    Kind::Markdown | Kind::Other if line.is_empty() => text.push_str("    //"),
                    Kind::Markdown | Kind::Other => text.extend(["    // ", line]),
                    Kind::Code if inside || line.is_empty() => text.push_str(line),
                    Kind::Code => text.extend([indent.as_str(), line]),
                }
                text.push('\n');
            }
            text.extend([close, if close.is_empty() { "" } else { "\n" }]);
            for contract in &cell.contracts {
                text.extend([INDENT, CONTRACT, contract, "\n"]);
            }
            text.extend(std::iter::repeat_n('\n', cell.blank_lines));
        }
        text + &self.footer
    }

    /// The cells of the learner's notebook with their ids: exercises as they are, without the solutions.
    pub fn learner(&self) -> Vec<(String, &Cell)> {
        with_ids(self.cells.iter().filter(|cell| !matches!(cell.part, Part::Solution(_))))
    }

    /// The cells of the notebook of solutions with their ids, which are those of the exercises.
    pub fn solved(&self) -> Vec<(String, &Cell)> {
        with_ids(self.cells.iter().filter(|cell| !matches!(cell.part, Part::Exercise(_))))
    }

    /// The numbers of its exercises with the code that solves them, in order.
    pub fn solutions(&self) -> Vec<(&str, &str)> {
        let cells = self.cells.iter().filter_map(|cell| match &cell.part {
            Part::Solution(number) => Some((number.as_str(), cell.source.as_str())),
            _ => None,
        });
        cells.collect()
    }
}

impl Cell {
    /// The line of the lesson file in which a contract stands.
    pub fn contract_line(&self, index: usize) -> usize {
        let lines = if self.source.is_empty() { 0 } else { self.source.split('\n').count() };
        self.line + 1 + lines + index
    }
}

/// Each cell's id: its own, else one of its exercise or of its place, counted from 1.
fn with_ids<'a>(cells: impl Iterator<Item = &'a Cell>) -> Vec<(String, &'a Cell)> {
    let id = |(place, cell): (usize, &'a Cell)| {
        let id = match (&cell.id, &cell.part) {
            (Some(id), _) => id.clone(),
            (None, Part::Exercise(number) | Part::Solution(number)) => format!("exercise-{}", number.replace('.', "-")),
            (None, Part::Lesson) => format!("cell-{:02}", place + 1),
        };
        (id, cell)
    };
    cells.enumerate().map(id).collect()
}

fn unsolved(line: usize, number: &str) -> String {
    format!("line {line}: exercise {number} has no solution; the next cell is `// %% solution={number}`")
}

/// Whether a cell may stand behind another: a task, its exercise, its solution.
fn follows(before: Option<&Cell>, cell: &Cell) -> Result<(), String> {
    let line = cell.line;
    match (before.map(|before| &before.part), &cell.part) {
        (Some(Part::Exercise(number)), Part::Solution(own)) if number == own => Ok(()),
        (_, Part::Solution(own)) => Err(format!("line {line}: the cell before solution {own} is not `// %% exercise={own}`")),
        (Some(Part::Exercise(number)), _) => Err(unsolved(before.map_or(line, |before| before.line), number)),
        (_, Part::Exercise(own)) if before.is_none_or(|before| before.kind != Kind::Markdown) => {
            Err(format!("line {line}: exercise {own} has no task; the cell before it is `// %% [markdown]`"))
        }
        _ => Ok(()),
    }
}

fn block(lines: &[&str]) -> String {
    lines.iter().flat_map(|line| [line, "\n"]).collect()
}

/// One cell from its marker line and the lines below it; `number` is the marker's line number.
fn cell(lines: &[&str], inside: &[bool], number: usize) -> Result<Cell, String> {
    let at = |offset: usize, what: &str| format!("line {}: {what}", number + offset);
    let Marker { kind, id, part, covers } = Marker::read(lines[0]).map_err(|why| at(0, &why))?;
    let blank_lines = lines[1..].iter().rev().take_while(|line| line.is_empty()).count();
    let mut last = lines.len() - blank_lines;
    let mut contracts = Vec::new();
    let contract = |line: usize| lines[line].strip_prefix(INDENT)?.strip_prefix(CONTRACT).filter(|_| !inside[line]);
    while let Some(text) = (last > 1 && kind == Kind::Code).then(|| contract(last - 1)).flatten() {
        Contract::parse(text).map_err(|why| at(last - 1, &why))?;
        contracts.insert(0, text.to_string());
        last -= 1;
    }
    let (mut first, mut indent) = (1, INDENT.to_string());
    if part != Part::Lesson {
        if !contracts.is_empty() {
            return Err(at(last, "an exercise has no contracts: its check says whether it is solved"));
        }
        if last < 3 || lines[1] != BLOCK[0] || lines[last - 1] != BLOCK[1] {
            return Err(at(1, "an exercise and its solution stand in a block: `    {`, lines with eight spaces, `    }`"));
        }
        (first, last, indent) = (2, last - 1, INDENT.repeat(2));
        if last - first > EXERCISE_LINES {
            return Err(at(0, &format!("the cell has {} lines; an exercise has {EXERCISE_LINES} at most", last - first)));
        }
    }
    let mut source = Vec::new();
    for (offset, (&line, &inside)) in lines.iter().zip(inside).enumerate().take(last).skip(first) {
        let stripped = match kind {
            Kind::Markdown | Kind::Other if line == "    //" => Some(""),
            Kind::Markdown | Kind::Other => line.strip_prefix("    // "),
            Kind::Code if inside || line.is_empty() => Some(line),
            Kind::Code => line.strip_prefix(&indent),
        };
        let wanted = match kind {
            Kind::Markdown | Kind::Other => "a line of a text cell starts with `    // `".to_string(),
            Kind::Code if part != Part::Lesson => "a line of an exercise starts with eight spaces".to_string(),
            Kind::Code => "a line of a code cell starts with four spaces".to_string(),
        };
        let stripped = stripped.ok_or_else(|| at(offset, &wanted))?;
        if kind == Kind::Code && !inside && stripped.starts_with(CONTRACT.trim_end()) {
            return Err(at(offset, "a contract, `// => `, stands behind all other lines of its cell"));
        }
        source.push(stripped);
    }
    Ok(Cell { kind, id, part, covers, source: source.join("\n"), contracts, line: number, blank_lines })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Kind, Lesson};

    pub(crate) const LESSON: &str = "//! Lesson 0. A test\n\npub fn lesson() -> finetuning::Result<()> {\n    // %% [markdown]\n    // # Title\n    //\n    // - text\n\n    // %% id=sum\n    use finetuning::*;\n\n    let text = \"one\n  two\n    // %%\n    Ok(())\n\";\n    if text.is_empty() {\n        println!(\"é\");\n    }\n    // %%\n    // %% [markdown] id=end\n    // Bye.\n\n    Ok(())\n}\n";

    /// A lesson with an exercise, contracts and numbers of what it covers.
    pub(crate) const GRADED: &str = "//! Lesson 1. A test\n\npub fn lesson() -> finetuning::Result<()> {\n    // %% covers=2\n    use finetuning::*;\n    println!(\"4 rows\");\n    // => contains \"rows\"\n    // => number after \"\" = 4\n\n    // %% [markdown] covers=1,3\n    // How many?\n\n    // %% exercise=1.1\n    {\n        let steps = \"\n\";\n        check(\"1.1\", steps)?;\n    }\n\n    // %% solution=1.1\n    {\n        check(\"1.1\", 7)?;\n    }\n\n    // %% [markdown]\n    // Bye.\n\n    Ok(())\n}\n";

    #[test]
    fn a_lesson_splits_into_its_cells() {
        let lesson = Lesson::split(LESSON).unwrap();
        let cells: Vec<_> = lesson.cells.iter().map(|cell| (cell.kind, cell.id.as_deref(), cell.source.as_str())).collect();
        let code =
            "use finetuning::*;\n\nlet text = \"one\n  two\n    // %%\n    Ok(())\n\";\nif text.is_empty() {\n    println!(\"é\");\n}";
        assert_eq!(
            cells,
            [
                (Kind::Markdown, None, "# Title\n\n- text"),
                (Kind::Code, Some("sum"), code),
                (Kind::Code, None, ""),
                (Kind::Markdown, Some("end"), "Bye.")
            ]
        );
        let ids: Vec<String> = lesson.learner().into_iter().map(|(id, _)| id).collect();
        assert_eq!(ids, ["cell-01", "sum", "cell-03", "end"]);
    }

    #[test]
    fn join_undoes_split() {
        for text in [LESSON, GRADED] {
            assert_eq!(Lesson::split(text).unwrap().join(), text);
        }
    }

    #[test]
    fn a_solution_is_cut_out_and_contracts_are_kept_aside() {
        let lesson = Lesson::split(GRADED).unwrap();
        let view = |cells: Vec<(String, &super::Cell)>| -> Vec<(String, String)> {
            cells.into_iter().map(|(id, cell)| (id, cell.source.clone())).collect()
        };
        let (learner, solved) = (view(lesson.learner()), view(lesson.solved()));
        assert_eq!(learner[0].1, "use finetuning::*;\nprintln!(\"4 rows\");");
        assert_eq!(learner[2], ("exercise-1-1".into(), "let steps = \"\n\";\ncheck(\"1.1\", steps)?;".into()));
        assert_eq!(solved[2], ("exercise-1-1".into(), "check(\"1.1\", 7)?;".into()));
        assert_eq!((learner.len(), solved.len()), (4, 4));
        assert_eq!((&learner[3], lesson.solutions()), (&solved[3], vec![("1.1", "check(\"1.1\", 7)?;")]));
        let code = &lesson.cells[0];
        assert_eq!(code.contracts, ["contains \"rows\"", "number after \"\" = 4"]);
        let line = GRADED.lines().nth(code.contract_line(1) - 1).unwrap();
        assert_eq!(line, "    // => number after \"\" = 4");
        assert_eq!((&lesson.cells[1].covers, &code.covers), (&vec![1, 3], &vec![2]));
    }

    #[test]
    fn a_line_out_of_form_is_named() {
        for (line, found, wanted) in [
            ("    // - text", "    - text", "line 7: a line of a text cell starts with `    // `"),
            ("    use finetuning::*;", "use finetuning::*;", "line 10: a line of a code cell starts with four spaces"),
            ("    // %% id=sum", "    // %% sum", "line 9: write `// %%` or"),
            ("    // - text", "    // ", "line 7: spaces at the end"),
            ("    Ok(())\n}", "    Ok(1)\n}", "the last statement"),
        ] {
            let error = Lesson::split(&LESSON.replacen(line, found, 1)).map(|_| ()).unwrap_err();
            assert!(error.starts_with(wanted), "{error}");
        }
        assert!(Lesson::split("//! Empty\n").is_err());
    }

    #[test]
    fn an_exercise_out_of_form_is_named() {
        let long = format!("        {}check(\"1.1\", 7)?;", "// one more\n        ".repeat(12));
        for (line, found, wanted) in [
            ("    // %% solution=1.1", "    // %% solution=1.2", "line 20: the cell before solution 1.2 is not"),
            ("    // %% solution=1.1\n    {\n        check(\"1.1\", 7)?;\n    }\n\n", "", "line 13: exercise 1.1 has no solution"),
            ("    // %% exercise=1.1", "    // %% solution=1.1", "line 13: the cell before solution 1.1"),
            ("    // %% [markdown] covers=1,3\n    // How many?\n\n", "", "line 10: exercise 1.1 has no task"),
            ("    {\n        check", "        check", "line 21: an exercise and its solution stand in a block"),
            ("        check(\"1.1\", 7)?;", "    check(\"1.1\", 7)?;", "line 22: a line of an exercise starts with eight spaces"),
            ("        check(\"1.1\", 7)?;", &long, "line 20: the cell has 13 lines"),
            ("    // => contains \"rows\"", "    // => holds \"rows\"", "line 7: `holds` is no contract"),
            (
                "    println!(\"4 rows\");\n    // => contains \"rows\"",
                "    // => nothing\n    println!(\"4 rows\");",
                "line 6: a contract",
            ),
        ] {
            let changed = GRADED.replacen(line, found, 1);
            assert_ne!(changed, GRADED, "{line}");
            let error = Lesson::split(&changed).map(|_| ()).unwrap_err();
            assert!(error.starts_with(wanted), "{error}\n{wanted}");
        }
        let last = GRADED.split("    // %% solution").next().unwrap().to_string() + "    Ok(())\n}\n";
        assert!(Lesson::split(&last).unwrap_err().starts_with("line 13: exercise 1.1 has no solution"));
    }
}
