//! Rows, weights and memory that cannot work → an error, before a step is taken.

use crate::error::{Error, ErrorKind, Result};
use crate::models::causal::CausalLm;
use crate::nn::parameter::with_values;
use crate::optim::gradients::is_finite;
use crate::tokenizer::encode::Encoding;
use crate::train::arguments::settings::{Accumulation, TrainingArguments};
use crate::train::batch::largest_group;
use crate::train::run::Run;
use crate::util::memory::available_memory;

/// Refuses settings that contradict each other or the device, and a model with nothing to train.
///
/// # Errors
/// When there are any, or all weights are frozen or packed.
pub fn arguments(arguments: &TrainingArguments, model: &CausalLm) -> Result<()> {
    arguments.validate()?;
    arguments.check_backend(model.backend())?;
    model.check_trainable()
}

/// Steps whose rate is looked at: a run may have any number.
const LOOKED_AT: usize = 1 << 16;

/// Refuses a run whose learning rate is 0 at every step.
///
/// # Errors
/// When it is.
pub fn rate(run: &Run) -> Result<()> {
    let (plan, total) = (run.rates(), run.total_steps);
    // A rate above 0 shows in the first steps: only a warm-up is 0 there, and no longer than a step.
    if plan.learning_rate > 0.0 && (0..total.min(LOOKED_AT)).any(|step| plan.rate(step) > 0.0) {
        return Ok(());
    }
    let (rate, warmup) = (plan.learning_rate, plan.warmup_steps);
    Err(Error::new(
        ErrorKind::Training,
        format!("the learning rate is 0 at each of the {total} steps (learning_rate {rate}, warm-up {warmup} steps): nothing is learnt"),
    )
    .hint("set learning_rate above 0, and warmup_steps below the steps of the run"))
}

/// Rows that a model can learn from, and only those: a row with nothing to predict (one token, a prompt alone, every label
/// −100) is left out, and how many were is said aloud.
///
/// # Errors
/// When a row is none that the model can read (the error names it by `name` and index), or when rows are `needed` and none is
/// left.
pub fn learnable<'a>(name: &str, rows: &'a [Encoding], needed: bool, completion_only: bool, model: &CausalLm) -> Result<Vec<&'a Encoding>> {
    if needed && rows.is_empty() {
        return Err(Error::new(ErrorKind::Data, format!("{name} has no rows"))
            .hint("load a data set with at least one row on each side of the split"));
    }
    let (vocabulary, positions) = (model.config().vocab_size(), model.config().max_position_embeddings());
    let mut left = Vec::with_capacity(rows.len());
    for (index, row) in rows.iter().enumerate() {
        let checked = row.check(vocabulary, positions).and_then(|()| row.predictions(completion_only));
        if checked.map_err(|error| error.at(format_args!("{name}, row {index}")))? > 0 {
            left.push(row);
        }
    }
    let reason = "nothing to predict: one token, a prompt alone, or every label −100";
    if needed && left.is_empty() {
        return Err(Error::new(ErrorKind::Data, format!("{name}: none of its {} rows teaches anything ({reason})", rows.len())).hint(
            "give rows an answer behind the prompt, raise max_length so that it is not cut off, or set completion_only_loss: false",
        ));
    }
    if left.len() < rows.len() {
        println!("{name}: {} of {} rows are left out ({reason})", rows.len() - left.len(), rows.len());
    }
    Ok(left)
}

/// Refuses weights that are not numbers, all named at once.
///
/// # Errors
/// When there are any, or a device fails.
pub fn weights(model: &CausalLm) -> Result<()> {
    let mut bad = Vec::new();
    for (name, weight) in model.weights() {
        let tensor = weight.detached().to_device(&candle_core::Device::Cpu)?.contiguous()?;
        if !with_values(&tensor, is_finite)? {
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

/// Refuses a run whose largest pass does not fit into the memory that is free; `lengths` are the input ids of each sequence of
/// each row.
///
/// # Errors
/// When it does not; on the CPU only.
pub fn memory_of_steps(run: &Run, lengths: &[Vec<usize>]) -> Result<()> {
    if !run.model.device().is_cpu() {
        return Ok(());
    }
    let (needed, tokens) = largest_pass(&run.model, &run.arguments, run.optimizer.bytes(), lengths);
    check_memory(needed, available_memory(), tokens)
}

/// The largest pass of a run, by the input ids of each sequence of each row: bytes that it needs at least, `optimizer` of its
/// state among them, and ids.
pub fn largest_pass(model: &CausalLm, arguments: &TrainingArguments, optimizer: usize, lengths: &[Vec<usize>]) -> (usize, usize) {
    let mut sequences: Vec<usize> = lengths.iter().flatten().copied().collect();
    sequences.sort_unstable_by(|a, b| b.cmp(a));
    let longest = |rows: usize| sequences.iter().take(rows.saturating_mul(lengths.first().map_or(1, Vec::len))).sum::<usize>();
    let tokens = match arguments.accumulation {
        Accumulation::Tokens => {
            let rows = if arguments.packing { lengths.len() } else { arguments.rows_per_step() };
            longest(rows).min(largest_group(model, arguments)).max(sequences.first().copied().unwrap_or(0))
        }
        Accumulation::Means => longest(arguments.per_device_train_batch_size),
    };
    (needed_bytes(model, tokens, arguments.gradient_checkpointing, optimizer), tokens)
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
    4 * (tokens * kept + model.trainable_parameter_count()) + optimizer
}

/// Refuses a training pass that does not fit into the memory that is free; 0 is unknown. All in bytes.
///
/// # Errors
/// When `needed` is above `available`.
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
