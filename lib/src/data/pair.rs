//! A row with `chosen` and `rejected` → a prompt and the two ways to go on, as texts or as turns.

use std::borrow::Cow;

use serde_json::Value;

use crate::data::conversation::{check, messages, tools, with_system};
use crate::data::example::{Example, kind_of};
use crate::data::message::Message;
use crate::error::{Error, ErrorKind, Result};

/// Prompt, chosen and rejected.
pub(crate) enum Pair<'a> {
    Texts([Cow<'a, str>; 3]),
    /// With the tools of the row.
    Turns([Vec<Message>; 3], Value),
}

/// Reads a pair. Without a prompt it is what both begin with, as TRL's `extract_prompt` takes it.
///
/// # Errors
/// [`ErrorKind::Data`] when a column is missing or of another type than the others, or the turns cannot be learnt.
pub(crate) fn read(example: &Example) -> Result<Pair<'_>> {
    let turns = |name: &str| {
        let read = match example.value(name) {
            Some(value @ (Value::Array(_) | Value::String(_))) => messages(value),
            // A single turn, as LLaMA-Factory writes it.
            Some(turn @ Value::Object(_)) => messages(&Value::Array(vec![turn.clone()])),
            _ => Ok(None),
        };
        read.map_err(|error| error.at(format_args!("column `{name}`")))
    };
    let prompt = example.value("prompt").filter(|value| !value.is_null());
    match (turns("chosen")?, turns("rejected")?) {
        (Some(chosen), Some(rejected)) => {
            let [prompt, chosen, rejected] = match turns("prompt")? {
                Some(prompt) => [prompt, chosen, rejected],
                None if prompt.is_none() && example.value("chosen").is_some_and(Value::is_object) => {
                    let before = ["conversations", "messages"].into_iter().find_map(|name| turns(name).transpose());
                    [with_system(example, before.transpose()?.unwrap_or_default())?, chosen, rejected]
                }
                None => {
                    let text = prompt.map(|_| example.text("prompt")).transpose()?;
                    implicit_turns(text.as_deref(), chosen, rejected)?
                }
            };
            for (name, answer) in [("chosen", &chosen), ("rejected", &rejected)] {
                let whole: Vec<Message> = prompt.iter().chain(answer).cloned().collect();
                check(answer).and_then(|()| check(&whole)).map_err(|error| error.at(format_args!("column `{name}`")))?;
            }
            let whole: Vec<Message> = prompt.iter().chain(&chosen).cloned().collect();
            let tools = tools(example, &whole)?;
            Ok(Pair::Turns([prompt, chosen, rejected], tools))
        }
        (None, None) => {
            let (chosen, rejected) = (example.text("chosen")?, example.text("rejected")?);
            if prompt.is_some() {
                if turns("prompt")?.is_some() {
                    return Err(mixed("prompt", "chosen", example));
                }
                return Ok(Pair::Texts([example.text("prompt")?, chosen, rejected]));
            }
            let cut = implicit_text(&chosen, &rejected);
            let [before, one, other] = [chosen[..cut].to_string(), chosen[cut..].to_string(), rejected[cut..].to_string()];
            Ok(Pair::Texts([Cow::Owned(before), Cow::Owned(one), Cow::Owned(other)]))
        }
        (Some(_), None) => Err(mixed("chosen", "rejected", example)),
        (None, Some(_)) => Err(mixed("rejected", "chosen", example)),
    }
}

fn mixed(list: &str, other: &str, example: &Example) -> Error {
    let found = example.value(other).map_or("missing", kind_of);
    Error::new(ErrorKind::Data, format!("column `{list}` holds messages, `{other}` is {found}"))
        .hint("write prompt, chosen and rejected all as texts or all as lists of messages")
}

/// The bytes that two texts have in common at their beginning, without a blank at their end; where one is the beginning of the
/// other, without its last letter, so that both say something.
fn implicit_text(chosen: &str, rejected: &str) -> usize {
    let mut same = 0;
    for ((at, one), other) in chosen.char_indices().zip(rejected.chars()) {
        if one != other {
            return if chosen[..at].ends_with(' ') { at - 1 } else { at };
        }
        same = at;
    }
    same
}

/// Splits what both conversations begin with off; a `prompt` that is a text has to be what the person says last in it.
fn implicit_turns(text: Option<&str>, mut chosen: Vec<Message>, mut rejected: Vec<Message>) -> Result<[Vec<Message>; 3]> {
    let shorter = chosen.len().min(rejected.len());
    let same = chosen.iter().zip(&rejected).take_while(|(one, other)| one == other).count().min(shorter.saturating_sub(1));
    rejected.drain(..same);
    let mut prompt: Vec<Message> = chosen.drain(..same).collect();
    if let Some(text) = text {
        match prompt.iter().rfind(|turn| turn.role == "user") {
            Some(said) if said.content.trim() != text.trim() => {
                return Err(Error::new(ErrorKind::Data, "`prompt` is another text than the last turn of the user before the answers")
                    .hint("take `prompt` out (`remove_columns`), or write it as a list of messages"));
            }
            Some(_) => {}
            None => prompt.push(Message::user(text)),
        }
    }
    Ok([prompt, chosen, rejected])
}
