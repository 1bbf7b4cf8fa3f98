//! The line that opens a cell ↔ what it says of the cell: `// %% [markdown] id=name exercise=2.1 covers=3,16`.

/// What a cell holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Markdown,
    Code,
    /// A cell of somebody's notebook that is neither, such as a raw one; no lesson has it.
    Other,
}

/// What a cell of a lesson is for; an exercise is named by its number, such as `2.1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Lesson,
    /// The learner's cell, not solved yet.
    Exercise(String),
    /// The same cell solved, which only the notebook of solutions has.
    Solution(String),
}

/// How every such line begins, inside of the lesson's function.
pub(crate) const MARKER: &str = "    // %%";
const MARKDOWN: &str = " [markdown]";
/// What may be written, for messages.
const FORM: &str =
    "write `// %%` or `// %% [markdown]`; behind it, in this order, ` id=name`, ` exercise=2.1` or ` solution=2.1`, ` covers=3,16`";

/// What the line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Marker {
    pub kind: Kind,
    pub id: Option<String>,
    pub part: Part,
    pub covers: Vec<u32>,
}

impl Marker {
    /// Reads a line that begins with [`MARKER`].
    ///
    /// # Errors
    /// What is allowed, when the line says something else.
    pub fn read(line: &str) -> Result<Marker, String> {
        let rest = line.strip_prefix(MARKER).ok_or(FORM)?;
        let (kind, rest) = match rest.strip_prefix(MARKDOWN) {
            Some(rest) => (Kind::Markdown, rest),
            None => (Kind::Code, rest),
        };
        let mut marker = Marker { kind, id: None, part: Part::Lesson, covers: Vec::new() };
        for word in rest.split(' ').skip(1) {
            let (name, value) = word.split_once('=').ok_or(FORM)?;
            match name {
                "id" if is_id(value) => marker.id = Some(value.into()),
                "exercise" if kind == Kind::Code && is_exercise(value) => marker.part = Part::Exercise(value.into()),
                "solution" if kind == Kind::Code && is_exercise(value) => marker.part = Part::Solution(value.into()),
                "covers" => marker.covers = value.split(',').map(str::parse).collect::<Result<_, _>>().map_err(|_| FORM)?,
                _ => return Err(FORM.into()),
            }
        }
        // In one order alone, so that a lesson is written as it was read.
        match marker.write() == line {
            true => Ok(marker),
            false => Err(FORM.into()),
        }
    }

    /// Writes the line.
    pub fn write(&self) -> String {
        let mut line = String::from(MARKER);
        if self.kind == Kind::Markdown {
            line.push_str(MARKDOWN);
        }
        if let Some(id) = &self.id {
            line.extend([" id=", id]);
        }
        match &self.part {
            Part::Lesson => {}
            Part::Exercise(number) => line.extend([" exercise=", number]),
            Part::Solution(number) => line.extend([" solution=", number]),
        }
        if !self.covers.is_empty() {
            line.extend([" covers=", &self.covers.iter().map(u32::to_string).collect::<Vec<_>>().join(",")]);
        }
        line
    }
}

/// The characters and length that nbformat 4.5 allows.
fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// A lesson's number, a point, and the exercise's number in it.
fn is_exercise(text: &str) -> bool {
    text.split_once('.').is_some_and(|(lesson, number)| [lesson, number].iter().all(|part| part.parse::<u32>().is_ok_and(|n| n > 0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_written_as_it_was_read() {
        for line in [
            "    // %%",
            "    // %% [markdown]",
            "    // %% id=sum",
            "    // %% [markdown] id=end covers=1,16",
            "    // %% exercise=2.1",
            "    // %% id=a solution=12.3 covers=98",
        ] {
            assert_eq!(Marker::read(line).unwrap().write(), line);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for line in [
            "    // %% sum",
            "    // %%  id=a",
            "    // %% id=é",
            "    // %% covers=",
            "    // %% covers=1, 2",
            "    // %% covers=1 id=a",
            "    // %% exercise=2",
            "    // %% exercise=0.1",
            "    // %% [markdown] exercise=2.1",
            "    // %% exercise=2.1 solution=2.1",
        ] {
            assert!(Marker::read(line).unwrap_err().starts_with("write `// %%`"), "{line}");
        }
    }
}
