//! An example with `text` and `label` → ids of a text and the number of its label.

use serde_json::Value;

use crate::data::dataset::Dataset;
use crate::data::example::{Example, kind_of};
use crate::error::{Error, ErrorKind, Result};
use crate::tokenizer::text::Tokenizer;
use crate::util::names::rows_by_number;
use crate::util::notice::warn;

/// A text as ids, and which of the labels it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelledText {
    /// The text, at least one id.
    pub ids: Vec<u32>,
    /// The label's number.
    pub label: usize,
}

/// The rows of a data set with `text` and `label`, a number or a name of `labels`; a text is encoded as by `tokenizer(text)` of
/// transformers, and cut at its end.
///
/// # Errors
/// When a column is missing, a text is empty, or a label is none of `labels`; the row is named.
pub fn tokenize_labelled(data: &Dataset, tokenizer: &Tokenizer, labels: &[String], max_length: usize) -> Result<Vec<LabelledText>> {
    let (mut rows, mut cut) = (Vec::with_capacity(data.len()), Vec::new());
    for (index, example) in data.iter().enumerate() {
        let row = one(example, tokenizer, labels, max_length);
        let (row, short) = row.map_err(|error| error.at(format_args!("row {index}")).in_row(index))?;
        cut.extend(short.then_some(index));
        rows.push(row);
    }
    if !cut.is_empty() {
        warn(format!("{}: longer than max_length ({max_length}), so that the text is cut at its end", rows_by_number(&cut)));
    }
    Ok(rows)
}

/// A row, and whether it was cut.
fn one(example: &Example, tokenizer: &Tokenizer, labels: &[String], max_length: usize) -> Result<(LabelledText, bool)> {
    let label = match example.value("label") {
        Some(Value::String(name)) => labels.iter().position(|label| label == name),
        Some(Value::Number(number)) => {
            number.as_u64().and_then(|number| usize::try_from(number).ok()).filter(|&number| number < labels.len())
        }
        _ => None,
    };
    let Some(label) = label else {
        let given = match example.value("label") {
            None | Some(Value::Null) => "missing".to_string(),
            Some(value) if value.is_string() || value.is_number() => value.to_string(),
            Some(value) => kind_of(value).to_string(),
        };
        let message = format!("column `label` is {given}; it must be one of {labels:?}, or its number from 0 on");
        return Err(Error::new(ErrorKind::Data, message).hint("name all labels when the model is made, in the order of their numbers"));
    };
    let (text, ending) = (example.text("text")?, tokenizer.ending());
    let mut ids = tokenizer.encode_prompt(&text)?;
    if text.is_empty() || ids.is_empty() {
        return Err(Error::new(ErrorKind::Data, "`text` is empty").hint("remove the row, or write the text"));
    }
    let room = max_length.saturating_sub(ending.len()).max(1);
    let cut = ids.len() > room;
    ids.truncate(room);
    ids.extend(ending);
    Ok((LabelledText { ids, label }, cut))
}
