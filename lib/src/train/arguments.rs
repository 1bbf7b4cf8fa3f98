//! What a training run may be told: the `TrainingArguments` of transformers, with their names and meanings.

use std::path::PathBuf;

use crate::error::{Error, ErrorKind, Result};
use crate::train::schedule::Schedule;

/// Which optimizer updates the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Optim {
    /// Adam with decoupled weight decay (Loshchilov & Hutter 2019), as `torch.optim.AdamW`.
    #[default]
    AdamW,
    /// Adafactor (Shazeer & Stern 2018) with a fixed learning rate: no parameter scaling, no relative step.
    Adafactor,
}

/// How the gradients of the micro-batches of one step are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Accumulation {
    /// The summed loss of all micro-batches divided by all their predicted tokens: one large batch, cut up.
    #[default]
    Tokens,
    /// The mean over the micro-batches' own means, as transformers did before 4.46.
    Means,
}

/// Settings of a training run. Defaults are those of transformers unless a line says otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingArguments {
    /// Folder of the checkpoints.
    pub output_dir: PathBuf,
    /// Allows an `output_dir` that already holds checkpoints. Default false.
    pub overwrite_output_dir: bool,
    /// Highest learning rate. Default 5e-5.
    pub learning_rate: f64,
    /// Passes over the training rows. Default 3.
    pub num_train_epochs: f64,
    /// Optimizer steps; overrides the epochs unless −1. Default −1.
    pub max_steps: i64,
    /// Rows in a micro-batch. Default 8.
    pub per_device_train_batch_size: usize,
    /// Rows in an evaluation batch. Default 8.
    pub per_device_eval_batch_size: usize,
    /// Micro-batches in a step. Default 1.
    pub gradient_accumulation_steps: usize,
    /// How the micro-batches are joined. Default by tokens.
    pub accumulation: Accumulation,
    /// Recompute activations in the backward pass. Accepted; attention rows are always recomputed, the rest is kept.
    pub gradient_checkpointing: bool,
    /// The optimizer. Default AdamW.
    pub optim: Optim,
    /// AdamW's decoupled weight decay, on all parameters but biases and norms. Default 0.
    pub weight_decay: f64,
    /// Schedule of the learning rate. Default linear.
    pub lr_scheduler_type: Schedule,
    /// Steps over which the learning rate rises from 0. Default 0.
    pub warmup_steps: usize,
    /// The gradient's norm is cut to this; 0 leaves it alone. Default 1.
    pub max_grad_norm: f64,
    /// Steps between log lines. Default 10 (transformers: 500).
    pub logging_steps: usize,
    /// Steps between evaluations; 0 evaluates never. Default 0.
    pub eval_steps: usize,
    /// Steps between checkpoints; 0 saves none. Default 0 (transformers: 500).
    pub save_steps: usize,
    /// Checkpoints that are kept, the newest and the best; 0 keeps all. Default 0.
    pub save_total_limit: usize,
    /// Take the best checkpoint's weights at the end. Default false.
    pub load_best_model_at_end: bool,
    /// Only `eval_loss` is known.
    pub metric_for_best_model: String,
    /// Must be false for `eval_loss`: smaller is better.
    pub greater_is_better: bool,
    /// Order rows of similar length together, which saves padding. Default false.
    pub group_by_length: bool,
    /// Learn the completion only, not the prompt (a setting of TRL's SFTTrainer). Default false: the course learns both.
    pub completion_only_loss: bool,
    /// No live picture; one line a log instead. Default false.
    pub disable_tqdm: bool,
    /// Seed of the row order and of dropout. Default 42.
    pub seed: u64,
}

impl Default for TrainingArguments {
    fn default() -> Self {
        Self {
            output_dir: PathBuf::from("trainer_output"),
            overwrite_output_dir: false,
            learning_rate: 5e-5,
            num_train_epochs: 3.0,
            max_steps: -1,
            per_device_train_batch_size: 8,
            per_device_eval_batch_size: 8,
            gradient_accumulation_steps: 1,
            accumulation: Accumulation::Tokens,
            gradient_checkpointing: false,
            optim: Optim::AdamW,
            weight_decay: 0.0,
            lr_scheduler_type: Schedule::Linear,
            warmup_steps: 0,
            max_grad_norm: 1.0,
            logging_steps: 10,
            eval_steps: 0,
            save_steps: 0,
            save_total_limit: 0,
            load_best_model_at_end: false,
            metric_for_best_model: "eval_loss".into(),
            greater_is_better: false,
            group_by_length: false,
            completion_only_loss: false,
            disable_tqdm: false,
            seed: 42,
        }
    }
}

impl TrainingArguments {
    /// Refuses values that cannot work, naming field, value and range.
    pub fn validate(&self) -> Result<()> {
        let positive = [
            ("per_device_train_batch_size", self.per_device_train_batch_size),
            ("per_device_eval_batch_size", self.per_device_eval_batch_size),
            ("gradient_accumulation_steps", self.gradient_accumulation_steps),
            ("logging_steps", self.logging_steps),
        ];
        for (field, value) in positive {
            if value == 0 {
                return Err(refuse(field, value, "at least 1"));
            }
        }
        let finite = |value: f64| value.is_finite() && value >= 0.0;
        if !finite(self.learning_rate) {
            return Err(refuse("learning_rate", self.learning_rate, "a finite number of at least 0"));
        }
        if !finite(self.max_grad_norm) || !finite(self.weight_decay) {
            return Err(refuse(
                "max_grad_norm and weight_decay",
                format!("{} and {}", self.max_grad_norm, self.weight_decay),
                "finite and at least 0",
            ));
        }
        if self.max_steps < -1 || self.max_steps == 0 {
            return Err(refuse("max_steps", self.max_steps, "-1 (use the epochs) or at least 1"));
        }
        if self.max_steps == -1 && !(self.num_train_epochs.is_finite() && self.num_train_epochs > 0.0) {
            return Err(refuse("num_train_epochs", self.num_train_epochs, "above 0 when max_steps is -1"));
        }
        if self.metric_for_best_model != "eval_loss" || self.greater_is_better {
            return Err(refuse("metric_for_best_model", &self.metric_for_best_model, "`eval_loss` with greater_is_better: false"));
        }
        if self.load_best_model_at_end && (self.eval_steps == 0 || self.save_steps == 0 || !self.save_steps.is_multiple_of(self.eval_steps))
        {
            let given = format!("true with save_steps {} and eval_steps {}", self.save_steps, self.eval_steps);
            return Err(refuse(
                "load_best_model_at_end",
                given,
                "true only if save_steps is a multiple of eval_steps and both are above 0",
            ));
        }
        Ok(())
    }
}

fn refuse(field: &str, given: impl std::fmt::Display, allowed: &str) -> Error {
    Error::new(ErrorKind::Training, format!("TrainingArguments: {field} is {given}; it must be {allowed}"))
        .hint(format!("change `{field}` in the cell that makes the arguments"))
}
