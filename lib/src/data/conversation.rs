//! A column of messages → turns in an order that can be learnt, with the tools of the row.

use serde_json::{Value, json};

use crate::data::example::{Example, kind_of, short};
use crate::data::json::exact;
use crate::data::message::Message;
use crate::error::{Error, ErrorKind, Result};

/// The messages of a column: a list, or a list or a single message written as JSON text, as a .csv file has it. `None` for any
/// other text.
///
/// # Errors
/// [`ErrorKind::Data`] when it is a list, or meant as one, and no list of messages.
pub(crate) fn messages(value: &Value) -> Result<Option<Vec<Message>>> {
    let Value::String(text) = value else { return normal(value).map(Some) };
    let start = text.trim_start();
    let list = start.strip_prefix('[').map(str::trim_start);
    let inner = list.unwrap_or(start);
    if ["{'role'", "{'from'", "{'content'", "{'value'"].iter().any(|key| inner.starts_with(key)) {
        return Err(Error::new(ErrorKind::Data, format!("messages as Python prints them, not as JSON: {}", short(value)))
            .hint("write the column with `json.dumps`, or save the rows as .jsonl, which keeps lists"));
    }
    // A text that only begins like messages stays a text.
    match inner.starts_with('{').then(|| serde_json::from_str::<Value>(text)) {
        Some(Ok(turns)) if is_conversation(&turns) => normal(&exact(text)?.unwrap_or(turns)).map(Some),
        Some(Ok(turn)) if is_turn(&turn) => normal(&Value::Array(vec![exact(text)?.unwrap_or(turn)])).map(Some),
        _ => Ok(None),
    }
}

/// [`messages`] of a column that has to hold them.
pub(crate) fn column(example: &Example, name: &str) -> Result<Vec<Message>> {
    let value = example.value(name).unwrap_or(&Value::Null);
    let found = match messages(value) {
        Ok(None) => {
            let what = format!("messages are a list, not {}: {}", kind_of(value), short(value));
            Err(Error::new(ErrorKind::Data, what).hint(
                "write [{\"role\": \"user\", \"content\": \"…\"}, {\"role\": \"assistant\", \"content\": \"…\"}], in a .csv file as JSON",
            ))
        }
        Ok(Some(messages)) => Ok(messages),
        Err(error) => Err(error),
    };
    found.map_err(|error| error.at(format_args!("column `{name}`")))
}

/// Whether this is a list of what looks like messages.
pub(crate) fn is_conversation(value: &Value) -> bool {
    value.as_array().is_some_and(|turns| !turns.is_empty() && turns.iter().all(is_turn))
}

fn is_turn(value: &Value) -> bool {
    value.get("role").is_some() || value.get("from").is_some()
}

/// The turns of a list; arguments of calls that OpenAI's files hold as JSON text are the object that templates write.
fn normal(value: &Value) -> Result<Vec<Message>> {
    let mut messages = Message::list(value)?;
    for (index, message) in messages.iter_mut().enumerate() {
        let calls = message.more.get_mut("tool_calls").and_then(Value::as_array_mut);
        for call in calls.into_iter().flatten() {
            let call = if call["function"].is_object() { &mut call["function"] } else { call };
            let Some(Value::String(text)) = call.get("arguments") else { continue };
            let place = |error: Error| error.at(format_args!("message {index}: the arguments of a tool call"));
            let parsed = exact(text).map_err(place)?.ok_or_else(|| {
                Error::new(ErrorKind::Data, format!("message {index}: the arguments of a tool call are no JSON: {text}"))
                    .hint("write them as {\"name\": value}, with double quotes")
            })?;
            call["arguments"] = parsed;
        }
    }
    Ok(messages)
}

/// Adds the `system` column of a row before its turns.
pub(crate) fn with_system(example: &Example, mut messages: Vec<Message>) -> Result<Vec<Message>> {
    let system = match example.value("system") {
        None | Some(Value::Null) => return Ok(messages),
        Some(_) => example.field("system")?,
    };
    match messages.first().filter(|first| ["system", "developer"].contains(&first.role.as_str())) {
        Some(own) if own.content != system && !system.trim().is_empty() => {
            Err(Error::new(ErrorKind::Data, "the row has a column `system` and another system message")
                .hint("keep one: `remove_columns(&[\"system\"])`"))
        }
        None if !system.trim().is_empty() => {
            messages.insert(0, Message::system(system));
            Ok(messages)
        }
        _ => Ok(messages),
    }
}

/// The tools of a row as templates read them, from `tools` or OpenAI's former `functions`; null where there are none.
pub(crate) fn tools(example: &Example, messages: &[Message]) -> Result<Value> {
    let list = |name: &str| -> Result<Option<Vec<Value>>> {
        let parsed = match example.value(name) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) if text.trim().is_empty() => return Ok(None),
            Some(Value::String(text)) => exact(text).map_err(|error| error.at(format_args!("column `{name}`")))?.unwrap_or_default(),
            Some(value) => value.clone(),
        };
        match parsed {
            Value::Array(items) if items.iter().all(Value::is_object) => Ok(Some(items).filter(|items| !items.is_empty())),
            _ => Err(Error::new(
                ErrorKind::Data,
                format!("column `{name}` is no list of objects: {}", short(&example.value(name).cloned().unwrap_or_default())),
            )
            .hint("write a list of {\"type\": \"function\", \"function\": {\"name\": …, \"parameters\": …}}")),
        }
    };
    match example.value("parallel_tool_calls") {
        None | Some(Value::Null | Value::Bool(true)) => {}
        Some(Value::Bool(false)) => {
            let calls = |message: &Message| message.more.get("tool_calls").and_then(Value::as_array).map_or(0, Vec::len);
            if let Some(index) = messages.iter().position(|message| calls(message) > 1) {
                return Err(Error::new(ErrorKind::Data, format!("message {index} calls several tools and `parallel_tool_calls` is false"))
                    .hint("split the calls into turns, or set it to true"));
            }
        }
        Some(other) => {
            return Err(Error::new(ErrorKind::Data, format!("`parallel_tool_calls` is {}, not true or false", kind_of(other)))
                .hint("write true or false"));
        }
    }
    let functions = list("functions")?.map(|items| items.into_iter().map(|item| json!({ "type": "function", "function": item })));
    Ok(match (list("tools")?, functions) {
        (Some(_), Some(_)) => {
            return Err(
                Error::new(ErrorKind::Data, "the row has `tools` and `functions`").hint("keep one: `remove_columns(&[\"functions\"])`")
            );
        }
        (Some(tools), None) => Value::Array(tools),
        (None, Some(functions)) => functions.collect(),
        (None, None) => Value::Null,
    })
}

/// Refuses turns of which nothing sensible is learnt: none of the assistant's, an empty one, two of one speaker in a row, a
/// tool that nobody called, weights that are neither 0 nor 1 or all 0, a turn of somebody else that is to be learnt.
///
/// # Errors
/// [`ErrorKind::Data`] with the number of the message.
pub(crate) fn check(messages: &[Message]) -> Result<()> {
    let bad = |what: String, hint: &str| Err(Error::new(ErrorKind::Data, what).hint(hint));
    let (mut before, mut learnt, mut spoken) = ("", false, false);
    for (index, message) in messages.iter().enumerate() {
        let role = message.role.as_str();
        if role == before && ["user", "assistant", "system", "developer"].contains(&role) {
            let hint = "join the two turns, or leave the row out; users and assistants take turns";
            return bad(format!("message {index}: `{role}` follows `{before}`"), hint);
        }
        if role == "tool" && !["assistant", "tool"].contains(&before) {
            let place = if before.is_empty() { "begins".to_string() } else { format!("follows `{before}`") };
            return bad(
                format!("message {index}: `tool` {place}; a tool answers a call of the assistant"),
                "put the call before it, or leave the row out",
            );
        }
        if role == "assistant" {
            spoken = true;
            if message.is_empty() {
                return bad(format!("message {index}: the assistant says nothing"), "write its answer, or leave the row out");
            }
            learnt |= message.is_learnt().map_err(|error| error.at(format_args!("message {index}")))?;
        }
        if role != "assistant" && message.more.get("train").is_some_and(|train| *train == true || *train == 1) {
            let what = format!("message {index}: `train` is true for `{role}`; only what the assistant says is learnt");
            return bad(what, "take the field out, or leave the row out");
        }
        before = role;
    }
    match (messages.is_empty(), spoken, learnt) {
        (true, ..) => bad("the conversation has no message".into(), "leave the row out"),
        (_, false, _) => bad("the conversation has no turn of the assistant, so there is nothing to learn".into(), "leave the row out"),
        (.., false) => bad(
            "all turns of the assistant have weight 0, or `train` or `loss` is false".into(),
            "give the turns that are to be learnt weight 1",
        ),
        _ => Ok(()),
    }
}
