//! The text of a lesson file ↔ its cells, without loss: `join(split(text)) = text`.
//!
//! A lesson is one function. A line `// %% [markdown]` opens a text cell, made of comment lines; a line `// %%` opens a
//! code cell. ` id=name` after either gives the cell a fixed id. The function's last `Ok(())` ends the last cell.

use crate::scan::starts_inside;

const INDENT: &str = "    ";
const MARKER: &str = "    // %%";
const MARKDOWN: &str = " [markdown]";
const ID: &str = " id=";
const END: &str = "    Ok(())";

/// What a cell holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Markdown,
    Code,
    /// A cell of somebody's notebook that is neither, such as a raw one; no lesson has it.
    Other,
}

/// One cell of a lesson.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    pub kind: Kind,
    /// The id that the lesson gives; `None` where it leaves the id to the cell's place.
    pub id: Option<String>,
    /// The text without comment signs, or the code without the function's indentation; no newline at its end.
    pub source: String,
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
        let mut cells = Vec::new();
        let mut start = first;
        while start < end {
            let next = (start + 1..end).find(|&line| is_marker(line)).unwrap_or(end);
            cells.push(cell(&lines[start..next], &inside[start..next], start + 1)?);
            start = next;
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
            text.push_str(MARKER);
            if cell.kind == Kind::Markdown {
                text.push_str(MARKDOWN);
            }
            if let Some(id) = &cell.id {
                text.push_str(ID);
                text.push_str(id);
            }
            text.push('\n');
            let lines: Vec<&str> = if cell.source.is_empty() { Vec::new() } else { cell.source.split('\n').collect() };
            let inside = starts_inside(&lines);
            for (line, inside) in lines.iter().zip(inside) {
                match cell.kind {
                    Kind::Markdown | Kind::Other if line.is_empty() => text.push_str("    //"),
                    Kind::Markdown | Kind::Other => text.extend(["    // ", line]),
                    Kind::Code if inside || line.is_empty() => text.push_str(line),
                    Kind::Code => text.extend([INDENT, line]),
                }
                text.push('\n');
            }
            text.extend(std::iter::repeat_n('\n', cell.blank_lines));
        }
        text + &self.footer
    }

    /// The id of the cell at a place: its own, or `cell-` and the place, counted from 1.
    pub fn cell_id(&self, place: usize) -> String {
        self.cells[place].id.clone().unwrap_or_else(|| format!("cell-{:02}", place + 1))
    }
}

fn block(lines: &[&str]) -> String {
    lines.iter().flat_map(|line| [line, "\n"]).collect()
}

/// One cell from its marker line and the lines below it; `number` is the marker's line number.
fn cell(lines: &[&str], inside: &[bool], number: usize) -> Result<Cell, String> {
    let (kind, id) = marker(lines[0])
        .ok_or_else(|| format!("line {number}: write `// %%` or `// %% [markdown]`, then ` id=name` if the cell has a name"))?;
    let blank_lines = lines[1..].iter().rev().take_while(|line| line.is_empty()).count();
    let last = lines.len() - blank_lines;
    let mut source = Vec::new();
    for (offset, (&line, &inside)) in lines.iter().zip(inside).enumerate().take(last).skip(1) {
        let stripped = match kind {
            Kind::Markdown | Kind::Other if line == "    //" => Some(""),
            Kind::Markdown | Kind::Other => line.strip_prefix("    // "),
            Kind::Code if inside || line.is_empty() => Some(line),
            Kind::Code => line.strip_prefix(INDENT),
        };
        let wanted = match kind {
            Kind::Markdown | Kind::Other => "a line of a text cell starts with `    // `",
            Kind::Code => "a line of a code cell starts with four spaces",
        };
        source.push(stripped.ok_or_else(|| format!("line {}: {wanted}", number + offset))?);
    }
    Ok(Cell { kind, id, source: source.join("\n"), blank_lines })
}

/// Kind and id of a marker line.
fn marker(line: &str) -> Option<(Kind, Option<String>)> {
    let rest = line.strip_prefix(MARKER)?;
    let (kind, rest) = match rest.strip_prefix(MARKDOWN) {
        Some(rest) => (Kind::Markdown, rest),
        None => (Kind::Code, rest),
    };
    if rest.is_empty() {
        return Some((kind, None));
    }
    let id = rest.strip_prefix(ID)?;
    // The characters and length that nbformat 4.5 allows.
    let valid = (1..=64).contains(&id.len()) && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    valid.then(|| (kind, Some(id.to_string())))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Kind, Lesson};

    pub(crate) const LESSON: &str = "//! Lesson 0. A test\n\npub fn lesson() -> finetuning::Result<()> {\n    // %% [markdown]\n    // # Title\n    //\n    // - text\n\n    // %% id=sum\n    use finetuning::*;\n\n    let text = \"one\n  two\n    // %%\n    Ok(())\n\";\n    if text.is_empty() {\n        println!(\"é\");\n    }\n    // %%\n    // %% [markdown] id=end\n    // Bye.\n\n    Ok(())\n}\n";

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
        assert_eq!(lesson.cell_id(1), "sum");
        assert_eq!(lesson.cell_id(2), "cell-03");
    }

    #[test]
    fn join_undoes_split() {
        assert_eq!(Lesson::split(LESSON).unwrap().join(), LESSON);
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
}
