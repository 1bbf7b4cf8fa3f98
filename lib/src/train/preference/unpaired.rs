//! An example with `prompt`, `completion` and `label` → ids of an answer that is good or bad.

use serde_json::Value;

use crate::data::dataset::Dataset;
use crate::data::example::{Example, kind_of};
use crate::data::shape::Shape;
use crate::error::{Error, ErrorKind, Result};
use crate::tokenizer::encode::Encoding;
use crate::tokenizer::text::Tokenizer;
use crate::train::preference::pair::{Answers, Texts, answers, texts};
use crate::util::names::rows_by_number;
use crate::util::notice::warn;

/// A prompt with an answer of which one knows whether it is good, as ids: TRL's unpaired preference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnpairedPreference {
    /// The prompt, at least one id.
    pub prompt: Vec<u32>,
    /// The answer, at least one id.
    pub completion: Vec<u32>,
    /// Whether the answer is good.
    pub label: bool,
}

impl UnpairedPreference {
    /// The row that a model reads.
    pub fn row(&self) -> Encoding {
        row(&self.prompt, &self.completion)
    }
}

/// Prompt and completion as a row.
pub(super) fn row(prompt: &[u32], completion: &[u32]) -> Encoding {
    Encoding { prompt_length: prompt.len(), ..Encoding::from_ids([prompt, completion].concat()) }
}

/// The rows of a data set with `prompt`, `completion` (texts or messages) and `label` (true or false): ids as in
/// [`tokenize_preferences`](crate::train::preference::pair::tokenize_preferences), each answer by itself. An error names the row.
///
/// # Errors
/// When a column is missing or of another type, prompt or completion is empty, or the prompt leaves no room for an answer.
pub fn tokenize_unpaired(data: &Dataset, tokenizer: &Tokenizer, max_length: usize) -> Result<Vec<UnpairedPreference>> {
    let (mut rows, mut at_seam, mut cut) = (Vec::with_capacity(data.len()), Vec::new(), Vec::new());
    for (index, example) in data.iter().enumerate() {
        let (made, label) = one(example, tokenizer, max_length).map_err(|error| error.at(format_args!("row {index}")).in_row(index))?;
        let Answers { prompt, answers, at_seam: seam, cut: short } = made;
        at_seam.extend(seam.then_some(index));
        cut.extend(short.then_some(index));
        rows.push(UnpairedPreference { prompt, completion: answers.into_iter().next().unwrap_or_default(), label });
    }
    if !at_seam.is_empty() {
        warn(format!("{}: the prompt's last token reaches into the completion, which begins with it", rows_by_number(&at_seam)));
    }
    if !cut.is_empty() {
        warn(format!("{}: longer than max_length ({max_length}), so that the completion is cut at its end", rows_by_number(&cut)));
    }
    Ok(rows)
}

fn one(example: &Example, tokenizer: &Tokenizer, max_length: usize) -> Result<(Answers, bool)> {
    let hint = "give each row `prompt`, `completion` and `label`; rows with `chosen` and `rejected` are for a DpoTrainer";
    let column = |name: &str| match example.value(name) {
        None | Some(Value::Null) => Err(Error::new(ErrorKind::Data, format!("column `{name}` is missing")).hint(hint)),
        Some(value) => Ok(value.clone()),
    };
    let (prompt, completion, label) = (column("prompt")?, column("completion")?, column("label")?);
    let Value::Bool(label) = label else {
        let given = if label.is_number() || label.is_string() { label.to_string() } else { kind_of(&label).to_string() };
        return Err(Error::new(ErrorKind::Data, format!("column `label` is {given}; it must be true or false"))
            .hint("`map` the column to true where the answer is good"));
    };
    if completion.as_str() == Some("") {
        return Err(Error::new(ErrorKind::Data, "`completion` is empty").hint("remove the row, or write the answer"));
    }
    // The same as a pair of which both sides are this answer.
    let mut pair = Example::new([("prompt", prompt), ("chosen", completion.clone()), ("rejected", completion)]);
    ["tools", "functions", "parallel_tool_calls"]
        .iter()
        .filter_map(|name| Some((*name, example.value(name)?.clone())))
        .for_each(|(name, value)| pair.set(name, value));
    let read: Texts = texts(Shape::Preference.read(&pair)?, tokenizer)?;
    let whole = read.wholes.into_iter().take(1).collect();
    Ok((answers(Texts { wholes: whole, ..read }, tokenizer, max_length)?, label))
}
