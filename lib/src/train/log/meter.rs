//! (model, lengths of rows) → floating point operations of training; step reports → what a run cost.
//!
//! `6 · multiplying parameters` a token (Kaplan et al. 2020: 2 forward, 4 backward) plus `12 · layers · width · length`
//! for the attention's two products (Chowdhery et al. 2022, appendix B). Multiplying are the matrices of the layers and
//! the output projection, not the input embedding, biases and norms. A frozen or packed matrix has no gradient of its own: 4
//! instead of 6. Attention is counted whole although its causal half is never computed; what is computed twice (gradient
//! checkpointing) or not at all (output projection of prompt tokens that are not learnt) is counted once: these are the
//! operations of the model, by which systems can be compared.

use crate::models::causal::CausalLm;
use crate::train::report::StepReport;
use crate::train::watch::TrainingWarning;
use crate::util::memory::peak_memory;

/// Numbers of the matrices that every token is multiplied with: (all, those that are trained).
pub fn multiplying_parameters(model: &CausalLm) -> (usize, usize) {
    let (config, weights) = (model.config(), model.weights());
    let tied = config.tie_word_embeddings();
    // Tied, the input embedding is the output projection as well.
    let multiplies = |name: &str| tied || name != config.embedding_name();
    let (mut all, mut trained) = (0, 0);
    for (_, weight) in weights.iter().filter(|(name, weight)| weight.dims().len() == 2 && multiplies(name)) {
        all += weight.elem_count();
        trained += if weight.is_frozen() { 0 } else { weight.elem_count() };
    }
    let packed = model.packed().iter().filter(|(name, _)| multiplies(name));
    (all + packed.map(|(_, matrix)| matrix.shape().elem_count()).sum::<usize>(), trained)
}

/// Operations of one training pass over rows of these lengths, forward and backward.
pub fn training_flops(model: &CausalLm, lengths: &[usize]) -> f64 {
    let (all, trained) = multiplying_parameters(model);
    let attention = (12 * model.config().num_hidden_layers() * model.config().attention_width()) as f64;
    let row = |&length: &usize| length as f64 * ((4 * all + 2 * trained) as f64 + attention * length as f64);
    lengths.iter().map(row).sum()
}

/// What a run did, as `trainer.train()` reports it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TrainOutput {
    /// Optimizer steps.
    pub global_step: usize,
    /// Mean of the steps' losses.
    pub training_loss: f64,
    /// Passes over the training rows.
    pub epoch: f64,
    /// Seconds of training.
    pub train_runtime: f64,
    /// Input tokens a second.
    pub train_tokens_per_second: f64,
    /// Operations by the course's meter: `6 · tokens · non-embedding parameters`, the last token of a row included.
    pub total_flos: f64,
    /// Operations of the model, counted exactly: see [`training_flops`].
    pub train_flops: f64,
    /// [`TrainOutput::train_flops`] a second.
    pub train_flops_per_second: f64,
    /// The highest memory that the process has held, in bytes; 0 where the system does not say.
    pub peak_memory: usize,
    /// What went wrong on the way; each was said aloud when it was seen.
    pub warnings: Vec<TrainingWarning>,
}

impl TrainOutput {
    /// The sums and means of a history.
    pub fn new(history: &[StepReport], model: &CausalLm) -> Self {
        let sum = |value: fn(&StepReport) -> f64| history.iter().map(value).sum::<f64>();
        let (tokens, seconds, flops) = (sum(|step| step.tokens as f64), sum(|step| step.seconds), sum(|step| step.flops));
        Self {
            global_step: history.len(),
            training_loss: sum(|step| step.loss) / history.len().max(1) as f64,
            epoch: history.last().map_or(0.0, |step| step.epoch),
            train_runtime: seconds,
            train_tokens_per_second: tokens / seconds.max(1e-9),
            total_flos: model.floating_point_ops(tokens as usize),
            train_flops: flops,
            train_flops_per_second: flops / seconds.max(1e-9),
            peak_memory: peak_memory(),
            warnings: Vec::new(),
        }
    }

    /// The same with what went wrong.
    pub fn with_warnings(self, warnings: &[TrainingWarning]) -> Self {
        Self { warnings: warnings.to_vec(), ..self }
    }
}

impl std::fmt::Display for TrainOutput {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "TrainOutput(global_step={}, training_loss={:.4}, metrics={{'train_runtime': {:.2}, 'train_tokens_per_second': {:.0}, 'total_flos': {:.0}, 'epoch': {:.2}, 'train_gflops_per_second': {:.1}, 'peak_memory_gb': {:.2}}})",
            self.global_step,
            self.training_loss,
            self.train_runtime,
            self.train_tokens_per_second,
            self.total_flos,
            self.epoch,
            self.train_flops_per_second / 1e9,
            self.peak_memory as f64 / 1e9
        )?;
        self.warnings.iter().try_for_each(|warning| write!(formatter, "\n{warning}"))
    }
}
