//! An example → prompt text: the templates of the lessons and the choice by column names.

use std::borrow::Cow;

use crate::data::example::Example;
use crate::data::shape::{Content, Shape};
use crate::error::{Error, ErrorKind, Result};

/// A question that waits for its answer.
pub const QUESTION_TEMPLATE: &str = "### Question:\n{question}\n\n### Answer:";
/// A question with its answer.
pub const QUESTION_ANSWER_TEMPLATE: &str = "### Question:\n{question}\n\n### Answer:\n{answer}";
/// An instruction without input, in the words of the Alpaca project.
pub const INSTRUCTION_TEMPLATE: &str = "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n### Instruction:\n{instruction}\n\n### Response:";
/// An instruction with input, in the words of the Alpaca project.
pub const INSTRUCTION_INPUT_TEMPLATE: &str = "Below is an instruction that describes a task, paired with an input that provides further context. Write a response that appropriately completes the request.\n\n### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:";

/// A text with `{field}` places that an example fills.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptTemplate {
    text: String,
}

impl PromptTemplate {
    /// A template of your own; every `{name}` is a field of the example.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into() }
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

    /// Fills the places from the example's fields; text of the fields is taken as it is, braces included.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when the example lacks a field that the template names, or a brace stays open.
    pub fn format(&self, example: &Example) -> Result<String> {
        let mut filled = String::with_capacity(self.text.len());
        let mut rest = self.text.as_str();
        while let Some(open) = rest.find('{') {
            let (before, after) = rest.split_at(open);
            filled.push_str(before);
            let Some(close) = after.find('}') else {
                return Err(Error::new(ErrorKind::Data, format!("the template has an open brace at {after:?}")).hint("close it with `}`"));
            };
            filled.push_str(&example.text(&after[1..close])?);
            rest = &after[close + 1..];
        }
        filled.push_str(rest);
        Ok(filled)
    }
}

/// The text of an example by its columns: question + answer, instruction + response, input + output, or text.
///
/// The first pair that the example has is joined without a separator, as the course's `tokenize_function` does.
///
/// # Errors
/// [`ErrorKind::Data`] when the example has none of these columns.
pub fn concatenate(example: &Example) -> Result<String> {
    prompt_and_completion(example).map(|(prompt, completion)| prompt.into_owned() + &completion)
}

/// The two halves of [`concatenate`]; an example with only `text` has an empty prompt.
///
/// # Errors
/// [`ErrorKind::Data`] when the example has none of these columns.
pub fn prompt_and_completion(example: &Example) -> Result<(Cow<'_, str>, Cow<'_, str>)> {
    match Shape::of(example)?.read(example)? {
        Content::Completion { prompt, completion } => Ok((prompt, completion)),
        Content::Chat { .. } => Err(Error::new(ErrorKind::Data, "the row is a conversation, which a chat template joins")
            .hint("use `tokenize_dataset`, or `Tokenizer::apply_chat_template`")),
    }
}
