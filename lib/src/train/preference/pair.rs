//! An example with `prompt`, `chosen` and `rejected` → ids of a pair of answers, of which one is preferred.

use crate::data::dataset::Dataset;
use crate::data::example::Example;
use crate::error::{Error, ErrorKind, Result};
use crate::tokenizer::encode::Encoding;
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

/// The pair of an example: both answers end with the end-of-sequence token, as in TRL, and a row of more than `max_length`
/// ids is cut at its end.
///
/// # Errors
/// When a column is missing, the prompt or an answer is empty, or the prompt leaves no room for an answer.
pub fn tokenize_preference(example: &Example, tokenizer: &Tokenizer, max_length: usize) -> Result<PreferencePair> {
    let text = example.text("prompt")?;
    let prompt = tokenizer.encode_prompt(&text)?;
    if prompt.is_empty() {
        return Err(Error::new(ErrorKind::Data, "`prompt` is empty; the first id of an answer is predicted from the prompt")
            .hint("give every row a prompt of at least one character"));
    }
    if prompt.len() >= max_length {
        let message = format!("`prompt` has {} tokens; prompt and answer together may have {max_length}", prompt.len());
        return Err(
            Error::new(ErrorKind::Data, message).hint("shorten the prompt, or raise max_length up to the model's max_position_embeddings")
        );
    }
    let answer = |name: &str| -> Result<Vec<u32>> {
        let answer = example.text(name)?;
        if answer.is_empty() {
            return Err(Error::new(ErrorKind::Data, format!("`{name}` is empty")).hint("remove the row, or write the answer"));
        }
        // Where the seam of the texts falls inside a token, the answer is encoded alone.
        let whole = tokenizer.encode_prompt(&format!("{text}{answer}"))?;
        let mut ids = match whole.strip_prefix(prompt.as_slice()) {
            Some(rest) if !rest.is_empty() => rest.to_vec(),
            _ => tokenizer.encode(&answer)?,
        };
        ids.push(tokenizer.eos_id());
        ids.truncate(max_length - prompt.len());
        Ok(ids)
    };
    Ok(PreferencePair { chosen: answer("chosen")?, rejected: answer("rejected")?, prompt })
}

/// Every row of a data set through [`tokenize_preference`]; an error names the row.
///
/// # Errors
/// As [`tokenize_preference`].
pub fn tokenize_preferences(data: &Dataset, tokenizer: &Tokenizer, max_length: usize) -> Result<Vec<PreferencePair>> {
    let pair = |(row, example): (usize, &Example)| {
        tokenize_preference(example, tokenizer, max_length).map_err(|error| error.at(format_args!("row {row}")))
    };
    data.iter().enumerate().map(pair).collect()
}
