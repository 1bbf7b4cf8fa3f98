//! (model, rows) → the loss on them, dropout off.

use crate::error::Result;
use crate::models::causal::CausalLm;
use crate::tokenizer::encode::{Encoding, TokenizedDataset};
use crate::train::arguments::settings::TrainingArguments;
use crate::train::batch::Batch;
use crate::train::check::learnable;
use crate::train::report::EvalReport;
use crate::util::interrupt;

/// Mean loss of a model over rows, dropout off, `batch_size` rows at once. Rows with nothing to predict are left out, aloud.
///
/// # Errors
/// When no row is left, or one is none that the model can read.
pub fn evaluate_loss(model: &CausalLm, rows: &TokenizedDataset, batch_size: usize, completion_only: bool) -> Result<EvalReport> {
    let arguments =
        TrainingArguments { per_device_eval_batch_size: batch_size, completion_only_loss: completion_only, ..Default::default() };
    run_loss(model, rows.rows(), &arguments)
}

/// [`evaluate_loss`] as a run with these arguments has it: with label smoothing, which transformers applies in evaluations as well,
/// and the mean of `eval_loss_mean`.
///
/// # Errors
/// As [`evaluate_loss`].
pub fn run_loss(model: &CausalLm, rows: &[Encoding], arguments: &TrainingArguments) -> Result<EvalReport> {
    let rows = learnable("the evaluation data set", rows, true, arguments.completion_only_loss, model)?;
    let (mut loss, mut count, mut tokens) = (0.0, 0.0, 0.0);
    for (index, part) in rows.chunks(arguments.per_device_eval_batch_size.max(1)).enumerate() {
        interrupt::check(format_args!("in the evaluation, before batch {index}"))?;
        let batch = Batch::new(part, arguments.completion_only_loss, model.config())?;
        let targets = batch.targets(arguments.label_smoothing_factor as f32);
        let sum = model.losses(batch.inputs(), batch.lengths(), targets)?.iter().map(|loss| f64::from(*loss)).sum::<f64>();
        let (own, of) = arguments.eval_loss_mean.of(sum, batch.num_items(), part.len());
        (loss, count, tokens) = (loss + own, count + of, tokens + batch.num_items());
    }
    Ok(EvalReport { loss: loss / count.max(1.0), tokens: tokens as usize, ..Default::default() })
}
