//! What a training run may be told: the `TrainingArguments` of transformers, with their names and meanings.
//!
//! A line names the default where it is not that of transformers, or where the setting is not from there.
//! [`crate::train::arguments::check`] says which values cannot work; [`crate::train::arguments::json`] writes and reads the file.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::optim::schedule::{RatePlan, Schedule, SchedulerKwargs};
use crate::optim::settings::{Optim, OptimizerSettings};

/// How the gradients of the micro-batches of one step are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Accumulation {
    /// The summed loss of all micro-batches divided by all their predicted tokens: one large batch, cut up.
    #[default]
    Tokens,
    /// The mean over the micro-batches' own means, as transformers did before 4.46.
    Means,
}

/// What the loss of an evaluation is the mean of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LossMean {
    /// Every predicted token counts alike, whatever the size of the batches.
    #[default]
    Tokens,
    /// Each batch's own mean, weighted by its rows, as transformers' `eval_loss`: it depends on the size of the batches.
    Batches,
}

/// When something happens: `IntervalStrategy` of transformers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum IntervalStrategy {
    /// Never.
    No,
    /// Every so many steps, as `logging_steps`, `eval_steps` or `save_steps` says.
    #[default]
    Steps,
    /// At the end of every pass over the rows.
    Epoch,
}

/// How rows are packed into sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum PackingStrategy {
    /// The longest row first, each into the sequence that it fills best; no row is cut.
    #[default]
    #[serde(rename = "bfd")]
    BestFitDecreasing,
}

/// In which order the rows come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SamplingStrategy {
    /// Shuffled anew in every epoch.
    #[default]
    Random,
    /// As they stand in the data set.
    Sequential,
    /// Shuffled, with rows of similar length together.
    GroupByLength,
}

/// Settings of a training run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrainingArguments {
    /// Folder of the checkpoints.
    pub output_dir: PathBuf,
    /// Allows an `output_dir` that already holds checkpoints. Default false (transformers 5 has dropped it).
    pub overwrite_output_dir: bool,
    /// A checkpoint from which `train` goes on, or `latest`: the newest whole one in `output_dir`, none being a fresh start.
    /// Default none.
    pub resume_from_checkpoint: Option<PathBuf>,
    /// Highest learning rate. Default 5e-5.
    pub learning_rate: f64,
    /// Schedule of the learning rate. Default linear.
    pub lr_scheduler_type: Schedule,
    /// The schedule's own numbers. Default none.
    pub lr_scheduler_kwargs: SchedulerKwargs,
    /// Steps over which the learning rate rises from 0. Default 0.
    pub warmup_steps: usize,
    /// The same as a part of all steps, rounded up, when `warmup_steps` is 0. Default 0 (transformers 5 has moved it into
    /// `warmup_steps`).
    pub warmup_ratio: f64,
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
    /// How the micro-batches are joined. Default by tokens, as transformers since 4.46.
    pub accumulation: Accumulation,
    /// Keep only the blocks' inputs and compute their activations again in the backward pass: less memory, a third more
    /// work (Chen et al. 2016). Default false.
    pub gradient_checkpointing: bool,
    /// Products in bfloat16 with weights in f32, as autocast does. Default false; for GPUs, refused on the CPU.
    pub bf16: bool,
    /// Products in float16 with weights in f32 and a scaled loss. Default false; for GPUs, refused on the CPU.
    pub fp16: bool,
    /// The optimizer. Default AdamW.
    pub optim: Optim,
    /// AdamW's decoupled weight decay, on all parameters but biases and norms. Default 0.
    pub weight_decay: f64,
    /// AdamW's decay of the mean gradient. Default 0.9.
    pub adam_beta1: f64,
    /// AdamW's decay of the mean squared gradient. Default 0.999.
    pub adam_beta2: f64,
    /// AdamW's addend of the denominator. Default 1e-8.
    pub adam_epsilon: f64,
    /// The gradient's norm is cut to this; 0 leaves it alone. Default 1.
    pub max_grad_norm: f64,
    /// Part of the probability that the targets leave to all words (Szegedy et al. 2016). Default 0.
    pub label_smoothing_factor: f64,
    /// Strength of the noise on the embeddings in training (Jain et al. 2023). Default none.
    pub neftune_noise_alpha: Option<f64>,
    /// Pack rows into sequences of up to `max_length` ids, which `per_device_train_batch_size` then counts: fewer steps for the
    /// same tokens. Attention keeps rows apart and positions begin anew with each, so no loss changes. Default false (a setting
    /// of TRL's SFTTrainer).
    pub packing: bool,
    /// How rows are packed. Default best fit, decreasing (TRL's `bfd`); TRL's `wrapped`, which cuts rows anywhere, is refused.
    pub packing_strategy: PackingStrategy,
    /// With `packing`: ids of a sequence at most. Default none: the model's positions (TRL's is 1024).
    pub max_length: Option<usize>,
    /// Learn the completion only, not the prompt. Default false: the course learns both (a setting of TRL's SFTTrainer).
    pub completion_only_loss: bool,
    /// The order of the rows. Default random.
    pub train_sampling_strategy: SamplingStrategy,
    /// Order rows of similar length together. Default false (transformers 5 has moved it into `train_sampling_strategy`).
    pub group_by_length: bool,
    /// Seed of dropout and noise. Default 42.
    pub seed: u64,
    /// Seed of the row order. Default none: that of `seed`.
    pub data_seed: Option<u64>,
    /// When to log. Default every `logging_steps`.
    pub logging_strategy: IntervalStrategy,
    /// Steps between logs. Default 10 (transformers: 500).
    pub logging_steps: usize,
    /// Log the first step, too. Default false.
    pub logging_first_step: bool,
    /// Where logs go besides the cell: `tensorboard` writes event files into `<output_dir>/runs`. Default nowhere.
    pub report_to: Vec<String>,
    /// No live picture; one line a log instead. Default false.
    pub disable_tqdm: bool,
    /// When to evaluate. Default every `eval_steps` (transformers: never), which is 0: never.
    pub eval_strategy: IntervalStrategy,
    /// Steps between evaluations; 0 evaluates never, else the last step is evaluated as well. Default 0.
    pub eval_steps: usize,
    /// What `eval_loss` is the mean of. Default tokens (transformers: batches).
    pub eval_loss_mean: LossMean,
    /// When to save. Default every `save_steps`.
    pub save_strategy: IntervalStrategy,
    /// Steps between checkpoints; 0 saves none, else the last step is saved as well. Default 0 (transformers: 500).
    pub save_steps: usize,
    /// Checkpoints that are kept, the newest and the best; 0 keeps all. Default 0.
    pub save_total_limit: usize,
    /// Take the best checkpoint's weights at the end. Default false.
    pub load_best_model_at_end: bool,
    /// Which evaluation is best: `eval_loss` (also written `loss`) is known. Default `eval_loss`.
    pub metric_for_best_model: String,
    /// Must be false for `eval_loss`: smaller is better.
    pub greater_is_better: bool,
    /// Evaluations without a better `eval_loss` after which training stops, as transformers' `EarlyStoppingCallback`;
    /// 0 never stops. Default 0.
    pub early_stopping_patience: usize,
    /// How much better counts as better. Default 0.
    pub early_stopping_threshold: f64,
}

impl Default for TrainingArguments {
    fn default() -> Self {
        Self {
            output_dir: PathBuf::from("trainer_output"),
            overwrite_output_dir: false,
            resume_from_checkpoint: None,
            learning_rate: 5e-5,
            lr_scheduler_type: Schedule::Linear,
            lr_scheduler_kwargs: SchedulerKwargs::default(),
            warmup_steps: 0,
            warmup_ratio: 0.0,
            num_train_epochs: 3.0,
            max_steps: -1,
            per_device_train_batch_size: 8,
            per_device_eval_batch_size: 8,
            gradient_accumulation_steps: 1,
            accumulation: Accumulation::Tokens,
            gradient_checkpointing: false,
            bf16: false,
            fp16: false,
            optim: Optim::AdamW,
            weight_decay: 0.0,
            adam_beta1: 0.9,
            adam_beta2: 0.999,
            adam_epsilon: 1e-8,
            max_grad_norm: 1.0,
            label_smoothing_factor: 0.0,
            neftune_noise_alpha: None,
            packing: false,
            packing_strategy: PackingStrategy::default(),
            max_length: None,
            completion_only_loss: false,
            train_sampling_strategy: SamplingStrategy::Random,
            group_by_length: false,
            seed: 42,
            data_seed: None,
            logging_strategy: IntervalStrategy::Steps,
            logging_steps: 10,
            logging_first_step: false,
            report_to: Vec::new(),
            disable_tqdm: false,
            eval_strategy: IntervalStrategy::Steps,
            eval_steps: 0,
            eval_loss_mean: LossMean::Tokens,
            save_strategy: IntervalStrategy::Steps,
            save_steps: 0,
            save_total_limit: 0,
            load_best_model_at_end: false,
            metric_for_best_model: "eval_loss".into(),
            greater_is_better: false,
            early_stopping_patience: 0,
            early_stopping_threshold: 0.0,
        }
    }
}

impl LossMean {
    /// What a batch of `rows` rows adds to the loss and to what it is divided by: `sum` is that of its `items` tokens.
    pub(crate) fn of(self, sum: f64, items: f64, rows: usize) -> (f64, f64) {
        match self {
            Self::Tokens => (sum, items),
            Self::Batches => (sum / items.max(1.0) * rows as f64, rows as f64),
        }
    }
}

impl IntervalStrategy {
    /// Whether it is time after `step` steps, when an epoch has `epoch_steps` and the setting says every `every` steps.
    pub fn due(self, step: usize, every: usize, epoch_steps: usize) -> bool {
        match self {
            Self::No => false,
            Self::Steps => every > 0 && step.is_multiple_of(every),
            Self::Epoch => step.is_multiple_of(epoch_steps),
        }
    }
}

impl TrainingArguments {
    /// Whether the run evaluates at all.
    pub fn evaluates(&self) -> bool {
        active(self.eval_strategy, self.eval_steps)
    }

    /// Whether the run writes checkpoints.
    pub fn saves(&self) -> bool {
        active(self.save_strategy, self.save_steps)
    }

    /// The same steps and nothing beside them: no evaluation, no checkpoint, no report, from the beginning.
    pub(crate) fn alone(&self) -> Self {
        Self {
            resume_from_checkpoint: None,
            eval_strategy: IntervalStrategy::No,
            save_strategy: IntervalStrategy::No,
            early_stopping_patience: 0,
            load_best_model_at_end: false,
            report_to: Vec::new(),
            ..self.clone()
        }
    }

    /// Rows of an optimizer step.
    pub fn rows_per_step(&self) -> usize {
        self.per_device_train_batch_size.saturating_mul(self.gradient_accumulation_steps)
    }

    /// Optimizer steps of a pass over so many rows, the last of which may be short.
    pub fn steps_per_epoch(&self, rows: usize) -> usize {
        // 0 is refused before a run, and asked about before that.
        rows.div_ceil(self.rows_per_step().max(1))
    }

    /// Optimizer steps of a whole run over so many rows.
    pub fn total_steps(&self, rows: usize) -> usize {
        match self.max_steps {
            -1 => ((self.num_train_epochs * self.steps_per_epoch(rows) as f64).ceil() as usize).max(1),
            steps => steps.max(0) as usize,
        }
    }

    /// Whether rows of similar length stand together.
    pub fn groups_by_length(&self) -> bool {
        self.group_by_length || self.train_sampling_strategy == SamplingStrategy::GroupByLength
    }

    /// The optimizer's part of the settings.
    pub fn optimizer_settings(&self) -> OptimizerSettings {
        OptimizerSettings {
            kind: self.optim,
            weight_decay: self.weight_decay,
            betas: (self.adam_beta1, self.adam_beta2),
            epsilon: self.adam_epsilon,
            product_type: self.product_type(),
        }
    }

    /// The learning rate of every step of a run of `total_steps`.
    pub fn rate_plan(&self, total_steps: usize) -> RatePlan {
        let part = (self.warmup_ratio * total_steps as f64).ceil() as usize;
        RatePlan {
            schedule: self.lr_scheduler_type,
            kwargs: self.lr_scheduler_kwargs,
            learning_rate: self.learning_rate,
            warmup_steps: if self.warmup_steps > 0 { self.warmup_steps } else { part },
            total_steps,
        }
    }
}

fn active(strategy: IntervalStrategy, steps: usize) -> bool {
    strategy == IntervalStrategy::Epoch || strategy == IntervalStrategy::Steps && steps > 0
}
