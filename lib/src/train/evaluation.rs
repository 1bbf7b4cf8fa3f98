//! (model, rows) → the loss on them, dropout off.

use crate::error::Result;
use crate::models::causal::CausalLm;
use crate::tokenizer::encode::{Encoding, TokenizedDataset};
use crate::train::batch::Batch;
use crate::train::check::learnable;
use crate::train::report::EvalReport;
use crate::util::interrupt;

/// Mean loss of a model over rows, dropout off, `batch_size` rows at once. Rows with nothing to predict are left out, aloud.
///
/// # Errors
/// When no row is left, or one is none that the model can read.
pub fn evaluate_loss(model: &CausalLm, rows: &TokenizedDataset, batch_size: usize, completion_only: bool) -> Result<EvalReport> {
    smoothed_loss(model, rows.rows(), batch_size, completion_only, 0.0)
}

/// [`evaluate_loss`] with label smoothing, which transformers applies in evaluations as well.
///
/// # Errors
/// As [`evaluate_loss`].
pub fn smoothed_loss(model: &CausalLm, rows: &[Encoding], batch_size: usize, completion_only: bool, smoothing: f64) -> Result<EvalReport> {
    let rows = learnable("the evaluation data set", rows, true, completion_only, model)?;
    let (mut loss, mut tokens) = (0.0, 0.0);
    for (index, part) in rows.chunks(batch_size.max(1)).enumerate() {
        interrupt::check(format_args!("in the evaluation, before batch {index}"))?;
        let batch = Batch::new(part, completion_only, model.config())?;
        let losses = model.losses(batch.inputs(), batch.lengths(), batch.targets(smoothing as f32))?;
        loss += losses.iter().map(|loss| f64::from(*loss)).sum::<f64>();
        tokens += batch.num_items();
    }
    Ok(EvalReport { loss: loss / tokens.max(1.0), tokens: tokens as usize, ..Default::default() })
}
