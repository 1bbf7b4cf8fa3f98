//! Rows of prompt and completion → sums of log probabilities under a model, dropout off.

use crate::error::Result;
use crate::models::causal::CausalLm;
use crate::tokenizer::encode::Encoding;
use crate::train::batch::{Batch, GROUP, TokenWeights};
use crate::util::interrupt;

/// Sums of the log probabilities of a row's ids, in nats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RowScore {
    /// Of the prompt's but its first; 0 where they were not asked for.
    pub prompt: f64,
    /// Of the completion's.
    pub completion: f64,
}

/// The scores of rows without padding; `prompts` asks for those of the prompts as well.
///
/// # Errors
/// When a row is none that the model can read, or after an interrupt.
pub(crate) fn scores<'a>(model: &CausalLm, rows: impl IntoIterator<Item = &'a Encoding>, prompts: bool) -> Result<Vec<RowScore>> {
    let mut starts = Vec::new();
    let rows = rows.into_iter().inspect(|row| starts.push(row.prompt_length.saturating_sub(1)));
    let groups = Batch::group(rows.map(|row| (row, TokenWeights::even(!prompts))), model.config(), GROUP)?;
    let mut scores = Vec::with_capacity(starts.len());
    for batch in groups {
        interrupt::check("while answers were scored; nothing was changed")?;
        let losses = model.losses(batch.inputs(), batch.lengths(), batch.targets(0.0))?;
        let mut rest = losses.as_slice();
        for &length in batch.lengths() {
            let (row, after) = rest.split_at(length);
            let (prompt, completion) = row.split_at(starts[scores.len()].min(length));
            let sum = |losses: &[f32]| -losses.iter().map(|loss| f64::from(*loss)).sum::<f64>();
            scores.push(RowScore { prompt: sum(prompt), completion: sum(completion) });
            rest = after;
        }
    }
    Ok(scores)
}
