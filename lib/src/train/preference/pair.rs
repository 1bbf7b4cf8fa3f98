//! An example with `prompt`, `chosen` and `rejected` → ids of a pair of answers, of which one is preferred.

use std::borrow::Cow;

use serde_json::Value;

use crate::data::dataset::Dataset;
use crate::data::example::Example;
use crate::data::message::Message;
use crate::error::{Error, ErrorKind, Result};
use crate::tokenizer::chat::ChatOptions;
use crate::tokenizer::encode::{Encoding, Joined, common_prefix, each_row, join};
use crate::tokenizer::text::Tokenizer;
use crate::util::notice;

/// A prompt with a better and a worse answer, as ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreferencePair {
    /// The prompt, at least one id.
    pub prompt: Vec<u32>,
    /// The answer that is preferred.
    pub chosen: Vec<u32>,
    /// The other one.
    pub rejected: Vec<u32>,
}

impl PreferencePair {
    /// The rows that a model reads: the prompt with the chosen answer, and with the rejected one.
    pub fn rows(&self) -> [Encoding; 2] {
        [&self.chosen, &self.rejected].map(|answer| {
            let input_ids = [self.prompt.as_slice(), answer].concat();
            Encoding { attention_mask: vec![1; input_ids.len()], labels: input_ids.clone(), input_ids, prompt_length: self.prompt.len() }
        })
    }

    /// Ids of both rows.
    pub fn tokens(&self) -> usize {
        2 * self.prompt.len() + self.chosen.len() + self.rejected.len()
    }
}

/// The pair of an example, of texts or of turns (lists of messages, with or without a `prompt` of their own), as TRL makes it: an answer that does not end with the end-of-sequence token gets it, the answers begin
/// where their ids leave those of the prompt alone (the earlier of the two places), and a row of more than `max_length` ids is
/// cut at its end.
///
/// # Errors
/// When a column is missing, the prompt or an answer is empty, or the prompt leaves no room for an answer.
pub fn tokenize_preference(example: &Example, tokenizer: &Tokenizer, max_length: usize) -> Result<PreferencePair> {
    let chat = [PROMPT, "chosen"].into_iter().any(|name| example.value(name).is_some_and(Value::is_array));
    let text = if chat { Cow::Borrowed("a conversation") } else { example.text(PROMPT)? };
    let asked = if chat { conversation(example)? } else { Vec::new() };
    let answer = |name: &str| match chat {
        true => answer_turns(example, tokenizer, &asked, name),
        false => answer_text(example, tokenizer, &text, name),
    };
    let (chosen, rejected) = (answer("chosen")?, answer("rejected")?);
    let length = chosen.prompt_length.min(rejected.prompt_length);
    if length == 0 {
        let what = if text.is_empty() { "is empty" } else { "has no token of its own: it merges with the answer" };
        return Err(Error::new(ErrorKind::Data, format!("`prompt` {what}; the first id of an answer is predicted from the prompt"))
            .hint("give every row a prompt of at least one token"));
    }
    if length >= max_length {
        let message = format!("`prompt` has {length} tokens; prompt and answer together may have {max_length}");
        return Err(
            Error::new(ErrorKind::Data, message).hint("shorten the prompt, or raise max_length up to the model's max_position_embeddings")
        );
    }
    let prompt = chosen.ids[..length].to_vec();
    let rest = |joined: Joined| joined.ids.into_iter().take(max_length).skip(length).collect();
    Ok(PreferencePair { prompt, chosen: rest(chosen), rejected: rest(rejected) })
}

const PROMPT: &str = "prompt";

/// A prompt and an answer as texts.
fn answer_text(example: &Example, tokenizer: &Tokenizer, prompt: &str, name: &str) -> Result<Joined> {
    let answer = example.text(name)?;
    if answer.is_empty() {
        return Err(Error::new(ErrorKind::Data, format!("`{name}` is empty")).hint("remove the row, or write the answer"));
    }
    let mut joined = join(tokenizer, prompt, &answer)?;
    if !answer.ends_with(tokenizer.eos_token()) {
        joined.ids.push(tokenizer.eos_id());
    }
    Ok(joined)
}

/// A prompt and an answer as turns, in the text of the chat template, which ends them itself.
fn answer_turns(example: &Example, tokenizer: &Tokenizer, asked: &[Message], name: &str) -> Result<Joined> {
    let said = turns(example, name)?;
    // Without a prompt of its own, an answer is a whole conversation.
    let whole = if example.value(PROMPT).is_some() { [asked, &said].concat() } else { said };
    let options = ChatOptions::new().with_tools(example.value("tools").cloned().unwrap_or_default());
    let text = |messages: &[Message], options: &ChatOptions| tokenizer.encode(&tokenizer.apply_chat_template_with(messages, options)?);
    let (alone, ids) = (text(asked, &options.clone().with_generation_prompt(true))?, text(&whole, &options)?);
    let prompt_length = common_prefix(&alone, &ids);
    Ok(Joined { ids, prompt_length, merged: prompt_length < alone.len() })
}

/// The turns before the answers: `prompt`, or what both answers begin with.
fn conversation(example: &Example) -> Result<Vec<Message>> {
    if example.value(PROMPT).is_some() {
        return turns(example, PROMPT);
    }
    let (chosen, rejected) = (turns(example, "chosen")?, turns(example, "rejected")?);
    Ok(chosen.into_iter().zip(rejected).take_while(|(one, other)| one == other).map(|(turn, _)| turn).collect())
}

fn turns(example: &Example, name: &str) -> Result<Vec<Message>> {
    let missing =
        || Error::new(ErrorKind::Data, format!("`{name}` is missing")).hint("give `prompt`, `chosen` and `rejected`, all as turns");
    Message::list(example.value(name).ok_or_else(missing)?).map_err(|error| error.at(format_args!("column `{name}`")))
}

/// Every row of a data set through [`tokenize_preference`]; an error names the row. How many pairs have the same answer twice is
/// said aloud.
///
/// # Errors
/// As [`tokenize_preference`].
pub fn tokenize_preferences(data: &Dataset, tokenizer: &Tokenizer, max_length: usize) -> Result<Vec<PreferencePair>> {
    let pairs = each_row(data, |example| tokenize_preference(example, tokenizer, max_length))?;
    let equal: Vec<usize> = (0..pairs.len()).filter(|&row| pairs[row].chosen == pairs[row].rejected).collect();
    if let Some(first) = equal.first() {
        let (count, all) = (equal.len(), pairs.len());
        notice::warn(format_args!(
            "{count} of {all} pairs prefer nothing: both answers are one, maybe after the cut; the first is row {first}"
        ));
    }
    Ok(pairs)
}
