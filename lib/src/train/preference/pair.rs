//! An example with `prompt`, `chosen` and `rejected` → ids of a pair of answers, of which one is preferred.

use crate::data::dataset::Dataset;
use crate::data::example::Example;
use crate::error::{Error, ErrorKind, Result};
use crate::tokenizer::encode::{Encoding, Joined, each_row, join};
use crate::tokenizer::text::Tokenizer;

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

/// The pair of an example, as TRL makes it: an answer that does not end with the end-of-sequence token gets it, the answers begin
/// where their ids leave those of the prompt alone (the earlier of the two places), and a row of more than `max_length` ids is
/// cut at its end.
///
/// # Errors
/// When a column is missing, the prompt or an answer is empty, or the prompt leaves no room for an answer.
pub fn tokenize_preference(example: &Example, tokenizer: &Tokenizer, max_length: usize) -> Result<PreferencePair> {
    let text = example.text("prompt")?;
    let answer = |name: &str| -> Result<Joined> {
        let answer = example.text(name)?;
        if answer.is_empty() {
            return Err(Error::new(ErrorKind::Data, format!("`{name}` is empty")).hint("remove the row, or write the answer"));
        }
        let mut joined = join(tokenizer, &text, &answer)?;
        if !answer.ends_with(tokenizer.eos_token()) {
            joined.ids.push(tokenizer.eos_id());
        }
        Ok(joined)
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

/// Every row of a data set through [`tokenize_preference`]; an error names the row.
///
/// # Errors
/// As [`tokenize_preference`].
pub fn tokenize_preferences(data: &Dataset, tokenizer: &Tokenizer, max_length: usize) -> Result<Vec<PreferencePair>> {
    each_row(data, |example| tokenize_preference(example, tokenizer, max_length))
}
