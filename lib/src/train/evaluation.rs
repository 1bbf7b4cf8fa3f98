//! (model, rows) → the loss on them; rows, weights and memory that cannot work are refused before a step is taken.

use rayon::prelude::*;

use crate::error::{Error, ErrorKind, Result};
use crate::models::causal::CausalLm;
use crate::nn::parameter::{Gradient, Parameter, with_values};
use crate::nn::weights::Weights;
use crate::tokenizer::encode::TokenizedDataset;
use crate::train::batch::Batch;
use crate::util::interrupt;
use compute::cpu::update::CHUNK;

/// Loss on held-out rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EvalReport {
    /// Mean loss of a predicted token, in nats.
    pub loss: f64,
    /// Predicted tokens.
    pub tokens: usize,
}

impl EvalReport {
    /// `e^loss`.
    pub fn perplexity(&self) -> f64 {
        self.loss.exp()
    }
}

/// Mean loss of a model over rows, dropout off, in batches.
pub fn evaluate_loss(model: &CausalLm, rows: &TokenizedDataset, batch_size: usize, completion_only: bool) -> Result<EvalReport> {
    smoothed_loss(model, rows, batch_size, completion_only, 0.0)
}

/// [`evaluate_loss`] with label smoothing, which transformers applies in evaluations as well.
pub fn smoothed_loss(
    model: &CausalLm,
    rows: &TokenizedDataset,
    batch_size: usize,
    completion_only: bool,
    smoothing: f64,
) -> Result<EvalReport> {
    check_rows("the evaluation data set", rows, true, model)?;
    let (mut loss, mut tokens) = (0.0, 0.0);
    for (index, part) in rows.rows().chunks(batch_size.max(1)).enumerate() {
        interrupt::check(format_args!("in the evaluation, before batch {index}"))?;
        let batch = Batch::new(&part.iter().collect::<Vec<_>>(), completion_only);
        let losses = model.losses(&batch.inputs, &batch.lengths, batch.targets(smoothing as f32))?;
        loss += losses.iter().map(|loss| f64::from(*loss)).sum::<f64>();
        tokens += batch.predicted();
    }
    Ok(EvalReport { loss: loss / tokens.max(1.0), tokens: tokens as usize })
}

/// Refuses rows that the model cannot read.
pub fn check_rows(name: &str, rows: &TokenizedDataset, needed: bool, model: &CausalLm) -> Result<()> {
    if needed && rows.is_empty() {
        return Err(Error::new(ErrorKind::Data, format!("{name} has no rows"))
            .hint("load a data set with at least one row on each side of the split"));
    }
    let (vocabulary, positions) = (model.config().vocab_size(), model.config().max_position_embeddings());
    for (index, row) in rows.rows().iter().enumerate() {
        if let Some(id) = row.input_ids.iter().find(|&&id| id as usize >= vocabulary) {
            return Err(Error::new(
                ErrorKind::Data,
                format!("{name}, row {index}: token id {id} is outside of the model's vocabulary of {vocabulary}"),
            )
            .hint("load tokenizer and model by the same name"));
        }
        if row.input_ids.len() > positions + 1 {
            return Err(Error::new(
                ErrorKind::Data,
                format!("{name}, row {index}: {} tokens, the model has {positions} positions", row.input_ids.len()),
            )
            .hint(format!("set model.max_length to {positions} in the training_config")));
        }
    }
    Ok(())
}

/// Whether all numbers are finite.
fn finite(values: &[f32]) -> bool {
    const EXPONENT: u32 = 0x7f80_0000;
    let part = |values: &[f32]| !values.iter().fold(false, |bad, value| bad | (value.to_bits() & EXPONENT == EXPONENT));
    values.par_chunks(CHUNK).map(part).reduce(|| true, |a, b| a & b)
}

/// Refuses weights that are not numbers, all named at once.
pub fn check_weights(model: &CausalLm) -> Result<()> {
    let mut bad = Vec::new();
    for (name, weight) in model.weights() {
        let tensor = weight.detached().to_device(&candle_core::Device::Cpu)?.contiguous()?;
        if !with_values(&tensor, finite)? {
            bad.push(name.as_str());
        }
    }
    match bad.len() {
        0 => Ok(()),
        count => Err(Error::new(
            ErrorKind::Model,
            format!(
                "the weights of the model are not all finite (NaN or infinite): {count} of {} tensors: {}",
                model.weights().len(),
                bad.join(", ")
            ),
        )
        .hint("load the model again from a checkpoint that was whole before training went wrong")),
    }
}

/// The weights whose gradients are not finite, for the message of a step that failed.
pub fn bad_gradients(weights: &Weights) -> Vec<&str> {
    let bad = |weight: &Parameter| {
        let gradient = weight.take_gradient();
        let fine = match &gradient {
            Gradient::Dense(values) => finite(values),
            Gradient::Rows(rows) => rows.values().all(|row| finite(row)),
            Gradient::Empty | Gradient::OnDevice(_) => true,
        };
        weight.put_back(gradient);
        !fine
    };
    weights.iter().filter(|(_, weight)| bad(weight)).map(|(name, _)| name.as_str()).collect()
}

/// Bytes that a training pass over `tokens` ids at once keeps at least: inputs and outputs of every matrix (with
/// `checkpointing` of one layer, and the inputs of all), gradients of what is trained, and the optimizer's state.
pub fn needed_bytes(model: &CausalLm, tokens: usize, checkpointing: bool, optimizer: usize) -> usize {
    let config = model.config();
    let (layers, width) = (config.num_hidden_layers().max(1), config.hidden_size());
    let full = model.weights().iter().map(|(_, weight)| weight.dims());
    let matrices = full.chain(model.packed().iter().map(|(_, matrix)| matrix.shape().dims()));
    let kept: usize = matrices.filter(|dims| dims.len() == 2 && dims[0] != config.vocab_size()).flatten().sum();
    let kept = if checkpointing { kept / layers + layers * width } else { kept };
    let gradients: usize = model.weights().iter().filter(|(_, weight)| !weight.is_frozen()).map(|(_, weight)| weight.elem_count()).sum();
    4 * (tokens * kept + gradients) + optimizer
}

/// Refuses a training pass that does not fit into the memory that is free; 0 is unknown.
pub fn check_memory(needed: usize, available: usize, tokens: usize) -> Result<()> {
    if available == 0 || needed <= available {
        return Ok(());
    }
    let gb = |bytes: usize| bytes as f64 / 1e9;
    Err(Error::new(
        ErrorKind::Training,
        format!(
            "a micro-batch of {tokens} tokens needs at least {:.1} GB, {:.1} GB more than the {:.1} GB of memory that are free",
            gb(needed),
            gb(needed - available),
            gb(available)
        ),
    )
    .hint("lower per_device_train_batch_size and raise gradient_accumulation_steps, cut rows with max_length, or set gradient_checkpointing: true"))
}
