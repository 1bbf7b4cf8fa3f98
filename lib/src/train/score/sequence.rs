//! Ids of a sequence → a row whose last token is scored, which the trainer's batches hold as any other.

use crate::error::{Error, ErrorKind, Result};
use crate::models::causal::CausalLm;
use crate::tokenizer::encode::{Encoding, IGNORE_INDEX};

/// A row in which a label is to be predicted behind the last id that the model scores; all others are not learnt. What stands in its
/// place is never read.
pub(super) fn scored(ids: &[u32], label: u32, model: &CausalLm) -> Encoding {
    let ids = model.labels().map_or(ids, |labels| labels.unpadded(ids));
    let mut row = Encoding::from_ids([ids, &[0]].concat());
    row.labels.fill(IGNORE_INDEX);
    row.labels[ids.len()] = label;
    Encoding { prompt_length: ids.len(), ..row }
}

/// The ids of such a row.
pub(super) fn ids(row: &Encoding) -> &[u32] {
    &row.input_ids[..row.prompt_length]
}

/// Refuses ids that the model cannot score.
///
/// # Errors
/// When there are none, one is outside of the vocabulary, or they are more than the model's positions; `what` names them.
pub(super) fn check(what: &str, ids: &[u32], model: &CausalLm) -> Result<()> {
    let (vocabulary, positions) = (model.config().vocab_size(), model.config().max_position_embeddings());
    let reason = match ids.iter().find(|&&id| id as usize >= vocabulary) {
        Some(id) => format!("token id {id} is outside of the model's vocabulary of {vocabulary}"),
        None if ids.is_empty() => "there are no ids; a score needs at least one".to_string(),
        None if ids.len() > positions => format!("{} tokens, the model has {positions} positions", ids.len()),
        None => return Ok(()),
    };
    Err(Error::new(ErrorKind::Data, format!("{what}: {reason}"))
        .hint(format!("load tokenizer and model by the same name, and tokenize with a max_length of at most {positions}")))
}
