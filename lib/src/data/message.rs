//! One turn of a conversation: who speaks, what is said, and what else the row's file says of it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::data::example::{kind_of, short};
use crate::error::{Error, ErrorKind, Result};
use crate::util::names::quoted;

/// Who may speak. Many templates leave a message of another role out and say nothing.
pub const ROLES: [&str; 5] = ["system", "developer", "user", "assistant", "tool"];

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Message {
    /// One of [`ROLES`].
    pub role: String,
    /// What was said; empty where a tool is called and nothing is said.
    pub content: String,
    /// The other fields of the turn, as templates know them: `name`, `tool_calls`, `tool_call_id`, `weight`.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl Message {
    /// A message of any role.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into(), more: Map::new() }
    }

    /// What the model is told before the conversation.
    pub fn system(content: impl Into<String>) -> Self {
        Self::new("system", content)
    }

    /// What the person says.
    pub fn user(content: impl Into<String>) -> Self {
        Self::new("user", content)
    }

    /// What the model says.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self::new("assistant", content)
    }

    /// A turn as the hub's and OpenAI's files have it: `{"role": …, "content": …}`; the content may be a list of text parts,
    /// and null beside `tool_calls`.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when it is no object, the role is none of [`ROLES`], or the content is no text.
    pub fn from_value(value: &Value) -> Result<Self> {
        let bad = |what: String| {
            Error::new(ErrorKind::Data, what)
                .hint("a message is {\"role\": \"user\", \"content\": \"…\"}; the roles are system, user, assistant, tool")
        };
        let Value::Object(fields) = value else {
            return Err(bad(format!("a message is an object, not {}: {}", kind_of(value), short(value))));
        };
        let mut more = fields.clone();
        let role = match more.shift_remove("role") {
            Some(Value::String(role)) if ROLES.contains(&role.as_str()) => role,
            Some(other) => return Err(bad(format!("role {} is none of {}", short(&other), quoted(&ROLES.map(String::from))))),
            None => return Err(bad(format!("the message has no `role`: {}", short(value)))),
        };
        let content = match more.shift_remove("content") {
            Some(Value::String(text)) => text,
            Some(Value::Null) | None if fields.get("tool_calls").is_some_and(|calls| !calls.is_null()) => String::new(),
            Some(Value::Array(parts)) => parts
                .iter()
                .map(|part| {
                    part.as_str().or(part["text"].as_str()).ok_or_else(|| bad(format!("a part of the content is no text: {}", short(part))))
                })
                .collect::<Result<String>>()?,
            Some(other) => return Err(bad(format!("content is {}, not a text: {}", kind_of(&other), short(&other)))),
            None => return Err(bad(format!("the message has no `content`: {}", short(value)))),
        };
        Ok(Self { role, content, more })
    }

    /// A list of turns; the error counts them from 0.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when it is no list, or as [`Message::from_value`].
    pub fn list(value: &Value) -> Result<Vec<Self>> {
        let Value::Array(turns) = value else {
            return Err(Error::new(ErrorKind::Data, format!("messages are a list, not {}: {}", kind_of(value), short(value)))
                .hint("write [{\"role\": \"user\", \"content\": \"…\"}, {\"role\": \"assistant\", \"content\": \"…\"}]"));
        };
        let turn = |(index, turn): (usize, &Value)| Self::from_value(turn).map_err(|error| error.at(format_args!("message {index}")));
        turns.iter().enumerate().map(turn).collect()
    }
}
