//! One turn of a conversation: who speaks, what is said, and what else the row's file says of it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::data::example::{kind_of, short};
use crate::data::json::exact;
use crate::error::{Error, ErrorKind, Result};
use crate::util::names::quoted;

/// Who may speak. Many templates leave a message of another role out and say nothing.
pub const ROLES: [&str; 5] = ["system", "developer", "user", "assistant", "tool"];

/// The fields by which files say whether a turn is learnt.
const LEARNT: [&str; 6] = ["weight", "train", "loss", "loss_scale", "trainable", "is_train"];

/// The field of torchtune that says the contrary.
const MASKED: &str = "masked";

/// Whether a field says of a turn that it is learnt or not.
#[cfg(feature = "quality")]
pub(crate) fn is_weight(name: &str) -> bool {
    LEARNT.contains(&name) || name == MASKED
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Message {
    /// One of [`ROLES`].
    pub role: String,
    /// What was said; empty where a tool is called and nothing is said.
    pub content: String,
    /// The other fields of the turn, as templates know them: `name`, `tool_calls`, `tool_call_id`, and as files know them: `weight`.
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
    /// and null beside `tool_calls`. A turn of ShareGPT's form, `{"from": "human", "value": …}`, is read by its own names of
    /// roles, OpenAI's former `function_call` and role `function` as the tool call and the tool that they were. In a turn that has
    /// the fields of both forms those of the other one are null, or say the same.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when it is no object, the role is none of [`ROLES`], the content is no text, or the turn says two texts.
    pub fn from_value(value: &Value) -> Result<Self> {
        let Value::Object(fields) = value else {
            return Err(bad(format!("a message is an object, not {}: {}", kind_of(value), short(value))));
        };
        let mut more = fields.clone();
        let present = |name: &str| fields.get(name).is_some_and(|value| !value.is_null());
        let shared = !present("role") && present("from");
        let forms = [["role", "content"], ["from", "value"]];
        let [[own_role, content], [other_role, other_content]] = if shared { [forms[1], forms[0]] } else { forms };
        let named = match more.shift_remove(own_role) {
            Some(Value::String(name)) => name,
            Some(other) => return Err(bad(format!("`{own_role}` is {}, not a name: {}", kind_of(&other), short(&other)))),
            None => return Err(bad(format!("the message has no `role`: {}", short(value)))),
        };
        let given = more.shift_remove(content);
        // A call of a tool: ShareGPT's turn of its own, or OpenAI's former field.
        let call = match named.as_str() {
            "function_call" | "function-call" if shared => Some(called(given.as_ref())?),
            _ => more.shift_remove("function_call").filter(|call| !call.is_null()),
        };
        let calls = call.is_some() || fields.get("tool_calls").is_some_and(|calls| !calls.is_null());
        let own_turn = shared && call.is_some();
        if let Some(call) = call {
            more.insert("tool_calls".into(), json!([{ "type": "function", "function": call }]));
        }
        let role = if own_turn { "assistant" } else { role_of(&named, shared)? };
        let text = match given {
            _ if own_turn => String::new(),
            Some(Value::String(text)) => text,
            Some(Value::Null) | None if calls => String::new(),
            Some(Value::Array(parts)) => parts.iter().map(part).collect::<Result<String>>()?,
            Some(other) => return Err(bad(format!("{content} is {}, not a text: {}", kind_of(&other), short(&other)))),
            None => return Err(bad(format!("the message has no `{content}`: {}", short(value)))),
        };
        // A template would read the other form's fields in place of these.
        match more.get(other_content) {
            Some(Value::String(other)) if *other != text => {
                return Err(bad(format!(
                    "the turn says two texts: `{content}` is {}, `{other_content}` is {}",
                    quote(&text),
                    quote(other)
                ))
                .hint(format!("keep one of `{content}` and `{other_content}`")));
            }
            Some(Value::String(_) | Value::Null) => drop(more.shift_remove(other_content)),
            Some(other) if shared => {
                return Err(bad(format!("the turn has `{content}` and `{other_content}`, which is {}", kind_of(other)))
                    .hint(format!("keep one of `{content}` and `{other_content}`")));
            }
            _ => {}
        }
        match more.get(other_role).and_then(Value::as_str).map(|other| (other, role_of(other, true))) {
            Some((other, Ok(speaks))) if speaks != role => {
                return Err(bad(format!("two speak in one turn: `{own_role}` is \"{named}\", `{other_role}` is \"{other}\""))
                    .hint(format!("keep one of `{own_role}` and `{other_role}`")));
            }
            None if more.get(other_role).is_some_and(Value::is_null) => drop(more.shift_remove(other_role)),
            _ => {}
        }
        Ok(Self { role: role.to_string(), content: text, more })
    }

    /// Whether a turn of the assistant is learnt: by OpenAI's `weight`, the `train` of axolotl, the `loss` and `loss_scale` of
    /// ms-swift, `trainable` and `is_train`, each true (1) or false (0), and the `masked` of torchtune, which says the contrary.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when one of them is anything else, two contradict each other, or `train_detail` names a part of the turn.
    pub(crate) fn is_learnt(&self) -> Result<bool> {
        let mut said: Option<(&str, bool)> = None;
        for name in LEARNT.into_iter().chain([MASKED]) {
            let value = match self.more.get(name) {
                None | Some(Value::Null) => continue,
                Some(Value::Bool(value)) => *value,
                Some(number) if number.as_f64() == Some(1.0) => true,
                Some(number) if number.as_f64() == Some(0.0) => false,
                Some(other) => {
                    return Err(Error::new(ErrorKind::Data, format!("`{name}` is {}; it must be 0 or 1", short(other)))
                        .hint("a turn is learnt or not; repeat a row to make it count more"));
                }
            };
            let learnt = value != (name == MASKED);
            match said {
                Some((other, before)) if before != learnt => {
                    return Err(Error::new(ErrorKind::Data, format!("`{other}` says {before}, `{name}` says {value}")).hint("keep one"));
                }
                _ => said = Some((name, learnt)),
            }
        }
        if self.more.get("train_detail").is_some_and(|detail| detail.as_array().map_or(!detail.is_null(), |parts| !parts.is_empty())) {
            return Err(Error::new(ErrorKind::Data, "`train_detail` names parts of a turn; a turn is learnt whole or not at all")
                .hint("take the field out, and write `train: false` where a turn is not learnt"));
        }
        Ok(said.is_none_or(|(_, learnt)| learnt))
    }

    /// The same turn, read and not learnt.
    pub(crate) fn silent(mut self) -> Self {
        LEARNT.iter().chain([&MASKED]).for_each(|name| drop(self.more.shift_remove(*name)));
        self.more.insert(LEARNT[0].into(), 0.into());
        self
    }

    /// What the turn says that is learnt or read: content without blanks at its ends, or a call of a tool.
    pub(crate) fn is_empty(&self) -> bool {
        self.content.trim().is_empty() && !self.calls_tools()
    }

    /// Whether the turn calls a tool.
    pub(crate) fn calls_tools(&self) -> bool {
        self.more.get("tool_calls").and_then(Value::as_array).is_some_and(|calls| !calls.is_empty())
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
        // A table without objects, such as one of polars, holds turns as their JSON.
        let object = |turn: &Value| turn.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok()).filter(Value::is_object);
        let turn = |(index, turn): (usize, &Value)| {
            let read = object(turn).map_or_else(|| Self::from_value(turn), |turn| Self::from_value(&turn));
            read.map_err(|error| error.at(format_args!("message {index}")))
        };
        turns.iter().enumerate().map(turn).collect()
    }
}

/// The text of a part of a content. What a part of another type says, such as `thinking`, is no part of the answer.
fn part(part: &Value) -> Result<&str> {
    if let Some(kind) = part.get("type").and_then(Value::as_str).filter(|kind| !["text", "input_text", "output_text"].contains(kind)) {
        return Err(bad(format!("a part of the content is no text: its type is \"{kind}\": {}", short(part)))
            .hint("keep the parts of type \"text\"; what is thought stands in a field of its own, `reasoning_content`"));
    }
    part.as_str().or(part["text"].as_str()).ok_or_else(|| bad(format!("a part of the content is no text: {}", short(part))))
}

fn quote(text: &str) -> String {
    short(&text.into())
}

fn bad(what: String) -> Error {
    Error::new(ErrorKind::Data, what)
        .hint("a message is {\"role\": \"user\", \"content\": \"…\"}; the roles are system, user, assistant, tool")
}

/// The role behind a name; `shared` are the names of ShareGPT's files.
fn role_of(name: &str, shared: bool) -> Result<&'static str> {
    if let Some(role) = ROLES.into_iter().find(|role| *role == name) {
        return Ok(role);
    }
    match name {
        "function" => Ok("tool"),
        "human" if shared => Ok("user"),
        "gpt" | "chatgpt" | "model" | "bing" | "bard" if shared => Ok("assistant"),
        "observation" | "function_response" | "function-response" | "tool_response" if shared => Ok("tool"),
        _ => {
            let also = if shared { ", `human`, `gpt`, `function_call`, `observation`" } else { "" };
            Err(bad(format!("role \"{name}\" is none of {}{also}", quoted(&ROLES.map(String::from)))))
        }
    }
}

/// The call that a turn of ShareGPT's form writes as JSON: `{"name": …, "arguments": …}`.
fn called(value: Option<&Value>) -> Result<Value> {
    let call = match value {
        Some(Value::String(text)) => exact(text).map_err(|error| error.at("a `function_call`"))?,
        other => other.cloned(),
    };
    call.filter(|call: &Value| call["name"].is_string()).ok_or_else(|| {
        let found = value.map_or_else(|| "nothing".to_string(), short);
        Error::new(ErrorKind::Data, format!("a `function_call` is no call: {found}"))
            .hint("write {\"name\": \"…\", \"arguments\": {…}} as its value")
    })
}
