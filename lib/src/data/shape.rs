//! A row's columns → what a model learns of it: an answer to a prompt, a conversation, or a choice between two answers.

use std::borrow::Cow;

use serde_json::Value;

use crate::data::example::Example;
use crate::data::message::Message;
use crate::error::{Error, ErrorKind, Result};
use crate::util::names::quoted;

/// What the columns of a row mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shape {
    /// `question` and `answer`, joined as they are.
    QuestionAnswer,
    /// `instruction` and `response`, joined as they are.
    InstructionResponse,
    /// `input` and `output`, joined as they are.
    InputOutput,
    /// `messages`: turns with roles.
    Messages,
    /// `text`, learnt whole.
    Text,
}

/// What a row teaches.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Content<'a> {
    /// A prompt, which may be empty, and the text that follows it, which is learnt.
    Completion {
        /// What the model reads.
        prompt: Cow<'a, str>,
        /// What it should write.
        completion: Cow<'a, str>,
    },
    /// A conversation, in which the assistant's turns are learnt.
    Chat {
        /// The turns in order.
        messages: Vec<Message>,
        /// The tools that the assistant may call, as the template reads them; null where there are none.
        tools: Value,
    },
}

impl Shape {
    /// The shapes that are looked for, in this order.
    const KNOWN: [Self; 5] = [Self::QuestionAnswer, Self::InstructionResponse, Self::InputOutput, Self::Messages, Self::Text];

    /// What a row is taken for by its columns.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when it has the columns of no shape.
    pub fn of(example: &Example) -> Result<Self> {
        Self::KNOWN.into_iter().find(|shape| shape.columns().iter().all(|name| example.value(name).is_some())).ok_or_else(|| {
            Error::new(ErrorKind::Data, format!("no known columns: the example has {}", quoted(&example.names()))).hint(
                "name them question and answer, instruction and response, input and output, messages, or text (`Dataset::rename_column`)",
            )
        })
    }

    /// The columns that a row of this shape must have.
    pub fn columns(self) -> &'static [&'static str] {
        match self {
            Self::QuestionAnswer => &["question", "answer"],
            Self::InstructionResponse => &["instruction", "response"],
            Self::InputOutput => &["input", "output"],
            Self::Messages => &["messages"],
            Self::Text => &["text"],
        }
    }

    /// Reads a row as one of this shape.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when a column is missing or of another type.
    pub fn read(self, example: &Example) -> Result<Content<'_>> {
        let columns = self.columns();
        Ok(match self {
            Self::QuestionAnswer | Self::InstructionResponse | Self::InputOutput => {
                Content::Completion { prompt: example.text(columns[0])?, completion: example.text(columns[1])? }
            }
            Self::Text => Content::Completion { prompt: Cow::Borrowed(""), completion: example.text("text")? },
            Self::Messages => Content::Chat {
                messages: Message::list(example.value("messages").unwrap_or(&Value::Null))
                    .map_err(|error| error.at("column `messages`"))?,
                tools: example.value("tools").cloned().unwrap_or_default(),
            },
        })
    }
}
