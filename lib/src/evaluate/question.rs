//! A row of any shape → what a model is asked of it, and the answer that is wanted.

use crate::data::conversation::tools;
use crate::data::dialogue::dialogue;
use crate::data::example::Example;
use crate::data::message::Message;
use crate::data::shape::{Content, Shape};
use crate::error::{Error, ErrorKind, Result};
use crate::tokenizer::chat::ChatOptions;
use crate::tokenizer::text::Tokenizer;

/// A question with its answer.
#[derive(Debug)]
pub(crate) struct Question {
    /// What stands before the answer, as the model reads it.
    pub prompt: String,
    /// The same for people.
    pub shown: String,
    /// What the data set says.
    pub target: String,
}

impl Question {
    /// Of a row whose model has a chat template: the turns before the last one of the assistant that is learnt, which is the
    /// target. Of any other: the row's prompt as it stands.
    ///
    /// # Errors
    /// When the row is none that can be learnt so, asks nothing, or wants a call of a tool; [`ErrorKind::Tokenizer`] for a conversation
    /// without a template.
    pub fn of(example: &Example, tokenizer: &Tokenizer) -> Result<Self> {
        let shape = Shape::of(example)?;
        if let (false, Content::Completion { prompt, completion }) = (tokenizer.brings_chat_template(), shape.read(example)?)
            && shape != Shape::Text
        {
            return Ok(Self { shown: prompt.to_string(), prompt: prompt.into_owned(), target: completion.into_owned() });
        }
        let (_, messages) = dialogue(example)?;
        let learnt = |turn: &Message| turn.role == "assistant" && turn.is_learnt().unwrap_or(true);
        let last = messages.iter().rposition(learnt).unwrap_or(0);
        let (before, target) = (&messages[..last], &messages[last].content);
        if !before.iter().any(|turn| turn.role != "system" && turn.role != "developer") {
            return Err(Error::new(ErrorKind::Data, "nothing is asked: the assistant speaks first")
                .hint("write the question before its answer, or leave the row out"));
        }
        if target.trim().is_empty() {
            return Err(Error::new(
                ErrorKind::Data,
                format!("message {last}: the answer is a call of a tool, which is no text to compare"),
            )
            .hint("leave the row out of the test, or end it with what the assistant says after the call"));
        }
        let options = ChatOptions::new().with_generation_prompt(true).with_tools(tools(example, &messages)?);
        Ok(Self { prompt: tokenizer.apply_chat_template_with(before, &options)?, shown: shown(before), target: target.clone() })
    }
}

/// One question as it is, several turns with who speaks.
fn shown(before: &[Message]) -> String {
    match before {
        [turn] => turn.content.clone(),
        turns => turns.iter().map(|turn| format!("{}: {}", turn.role, turn.content)).collect::<Vec<_>>().join("\n"),
    }
}
