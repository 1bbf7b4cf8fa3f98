//! A row → prompt text: a text with `{field}` places, and the templates of the course and of the Alpaca project.

use crate::data::dataset::Dataset;
use crate::data::example::{Example, kind_of};
use crate::error::{Error, ErrorKind, Result};
use crate::util::names::{near, quoted, rows_by_number};

/// A question that waits for its answer.
pub const QUESTION_TEMPLATE: &str = "### Question:\n{question}\n\n### Answer:";
/// A question with its answer.
pub const QUESTION_ANSWER_TEMPLATE: &str = "### Question:\n{question}\n\n### Answer:\n{answer}";
/// An instruction without input, in the words of the Alpaca project.
pub const INSTRUCTION_TEMPLATE: &str = "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n### Instruction:\n{instruction}\n\n### Response:";
/// An instruction with input, in the words of the Alpaca project.
pub const INSTRUCTION_INPUT_TEMPLATE: &str = "Below is an instruction that describes a task, paired with an input that provides further context. Write a response that appropriately completes the request.\n\n### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:";

/// A text with `{field}` places that an example fills. As in Python's `str.format`, `{{` and `}}` stand for one brace each,
/// so that a template may hold JSON.
///
/// ```
/// use finetuning::*;
/// let template = PromptTemplate::parse(r#"{{"question": "{question}"}}"#)?;
/// assert_eq!(template.placeholders()?, ["question"]);
/// assert_eq!(template.format(&Example::new([("question", "Why {this}?")]))?, r#"{"question": "Why {this}?"}"#);
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptTemplate {
    text: String,
    parts: std::result::Result<Vec<Part>, Fault>,
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(String),
}

/// What is wrong with a template, and the byte where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    byte: usize,
    what: &'static str,
}

impl PromptTemplate {
    /// A template of your own; every `{name}` is a field of the example. A fault in it is the error of its first use:
    /// [`PromptTemplate::parse`] says it at once.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { parts: parts(&text), text }
    }

    /// [`PromptTemplate::new`], with the fault of a template that has one.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] with line and column of a brace that is not closed, not opened, or holds no name of a field.
    pub fn parse(text: impl Into<String>) -> Result<Self> {
        let template = Self::new(text);
        template.parts().map(|_| ())?;
        Ok(template)
    }

    /// [`QUESTION_TEMPLATE`].
    pub fn question() -> Self {
        Self::new(QUESTION_TEMPLATE)
    }

    /// [`QUESTION_ANSWER_TEMPLATE`].
    pub fn question_answer() -> Self {
        Self::new(QUESTION_ANSWER_TEMPLATE)
    }

    /// [`INSTRUCTION_TEMPLATE`].
    pub fn instruction() -> Self {
        Self::new(INSTRUCTION_TEMPLATE)
    }

    /// [`INSTRUCTION_INPUT_TEMPLATE`].
    pub fn instruction_with_input() -> Self {
        Self::new(INSTRUCTION_INPUT_TEMPLATE)
    }

    /// The template's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The fields that the template names, each once, in order.
    ///
    /// # Errors
    /// As [`PromptTemplate::parse`].
    pub fn placeholders(&self) -> Result<Vec<&str>> {
        let mut names = Vec::new();
        for part in self.parts()? {
            if let Part::Field(name) = part
                && !names.contains(&name.as_str())
            {
                names.push(name.as_str());
            }
        }
        Ok(names)
    }

    /// Whether every row can fill every place: to be asked before rows are made.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] as [`PromptTemplate::parse`], for a place that is no column of the data set, and for rows (by
    /// number) that have no text or number there.
    pub fn check(&self, data: &Dataset) -> Result<()> {
        for name in self.placeholders()? {
            let bad: Vec<usize> = data.iter().enumerate().filter(|(_, row)| row.text(name).is_err()).map(|(row, _)| row).collect();
            let Some(&first) = bad.first() else { continue };
            let columns = data.columns();
            if !columns.iter().any(|column| column == name) {
                let message = format!("the template names `{{{name}}}`, which is no column; the data set has {}", quoted(&columns));
                return Err(Error::new(ErrorKind::Data, message)
                    .hint(format!("the nearest are {}; for a brace as it is write `{{{{` or `}}}}`", near(name, &columns))));
            }
            let found = data.get(first)?.value(name).map_or("missing", kind_of);
            let message = format!("`{{{name}}}` of the template has no text in {}; it is {found} in row {first}", rows_by_number(&bad));
            return Err(Error::new(ErrorKind::Data, message).in_row(first).hint("leave those rows out (`filter`), or fill them (`map`)"));
        }
        Ok(())
    }

    /// Fills the places from the example's fields; text of the fields is taken as it is, braces included.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when the example lacks a field that the template names, and as [`PromptTemplate::parse`].
    pub fn format(&self, example: &Example) -> Result<String> {
        let mut filled = String::with_capacity(self.text.len());
        for part in self.parts()? {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Field(name) => filled.push_str(&example.text(name)?),
            }
        }
        Ok(filled)
    }

    fn parts(&self) -> Result<&[Part]> {
        self.parts.as_deref().map_err(|fault| {
            let before = &self.text[..fault.byte];
            let column = before.chars().rev().take_while(|&letter| letter != '\n').count() + 1;
            let line = before.matches('\n').count() + 1;
            Error::new(ErrorKind::Data, format!("the template at line {line}, column {column}: {}", fault.what))
                .hint("`{name}` is a field of the row; write `{{` and `}}` for braces as they are, as in JSON")
        })
    }
}

/// A template in pieces.
fn parts(text: &str) -> std::result::Result<Vec<Part>, Fault> {
    let (mut parts, mut literal, mut at) = (Vec::new(), String::new(), 0);
    while let Some(next) = text[at..].find(['{', '}']) {
        literal.push_str(&text[at..at + next]);
        at += next;
        let rest = &text[at..];
        let fault = |what| Err(Fault { byte: at, what });
        if rest.starts_with("{{") || rest.starts_with("}}") {
            literal.push_str(&rest[..1]);
            at += 2;
            continue;
        }
        let Some(inner) = rest.strip_prefix('{') else { return fault("a `}` closes nothing") };
        let Some(close) = inner.find('}') else { return fault("a `{` is not closed") };
        let name = &inner[..close];
        match name {
            "" => return fault("`{}` names no field"),
            _ if name.contains(['{', '"', '\n']) => return fault("a `{` that begins no name of a field"),
            _ => {}
        }
        if !literal.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut literal)));
        }
        parts.push(Part::Field(name.to_string()));
        at += name.len() + 2;
    }
    literal.push_str(&text[at..]);
    if !literal.is_empty() {
        parts.push(Part::Text(literal));
    }
    Ok(parts)
}
