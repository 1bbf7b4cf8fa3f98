//! Training arguments → the same, or an error that names field, value and range: all that can be said before the data.

use candle_core::DType;

use crate::error::{Error, ErrorKind, Result};
use crate::nn::backend::Backend;
use crate::optim::schedule::Schedule;
use crate::train::arguments::settings::{Accumulation, IntervalStrategy, SamplingStrategy, TrainingArguments};

/// Where logs can go besides the cell; `none` is nowhere.
const REPORTS: [&str; 2] = ["tensorboard", "none"];

impl TrainingArguments {
    /// Refuses values that cannot work, naming field, value and range.
    ///
    /// # Errors
    /// When there is one.
    pub fn validate(&self) -> Result<()> {
        self.check_numbers()?;
        self.check_steps()?;
        self.check_schedule()?;
        self.check_best()?;
        if self.bf16 && self.fp16 {
            return Err(refuse("fp16", "true with bf16 true", "false, or bf16 false: a product has one format"));
        }
        if self.packing && self.accumulation == Accumulation::Means {
            return Err(refuse(
                "packing",
                "true with accumulation Means",
                "false, or accumulation Tokens: means of micro-batches need them apart",
            ));
        }
        let writes = self.saves() || self.report_to.iter().any(|name| name == "tensorboard");
        if writes && self.output_dir.as_os_str().is_empty() {
            return Err(refuse("output_dir", "empty", "the name of a folder: what a run writes would lie among other files"));
        }
        if self.max_length == Some(0) {
            return Err(refuse("max_length", "0", "at least 1, or none for the model's positions"));
        }
        if self.max_length.is_some() && !self.packing {
            return Err(refuse("max_length", "set without packing", "none: rows are cut where they are tokenized (`TokenizeOptions`)"));
        }
        if self.group_by_length && self.train_sampling_strategy == SamplingStrategy::Sequential {
            return Err(refuse(
                "group_by_length",
                "true with train_sampling_strategy Sequential",
                "false, or leave train_sampling_strategy alone",
            ));
        }
        match self.report_to.iter().find(|name| !REPORTS.contains(&name.as_str())) {
            Some(name) => Err(refuse("report_to", format!("`{name}`"), "a list of `tensorboard` and `none`")),
            None => Ok(()),
        }
    }

    /// The number format of products in training and evaluation; weights and their gradients are f32 in all.
    pub fn product_type(&self) -> DType {
        match (self.bf16, self.fp16) {
            (true, _) => DType::BF16,
            (_, true) => DType::F16,
            _ => DType::F32,
        }
    }

    /// Refuses a format that brings nothing where fused operations compute.
    pub(crate) fn check_backend(&self, backend: Backend) -> Result<()> {
        for (field, given) in [("bf16", self.bf16), ("fp16", self.fp16)] {
            if given && backend.is_fused() {
                let allowed = "false on the CPU, whose operations are fast in f32; formats of 16 bits are for a GPU (feature `cuda`)";
                return Err(refuse(field, true, allowed));
            }
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<()> {
        let positive = [
            ("per_device_train_batch_size", self.per_device_train_batch_size),
            ("per_device_eval_batch_size", self.per_device_eval_batch_size),
            ("gradient_accumulation_steps", self.gradient_accumulation_steps),
        ];
        for (field, value) in positive {
            if value == 0 {
                return Err(refuse(field, value, "at least 1"));
            }
        }
        let not_negative = [
            ("learning_rate", self.learning_rate),
            ("weight_decay", self.weight_decay),
            ("max_grad_norm", self.max_grad_norm),
            ("adam_epsilon", self.adam_epsilon),
            ("early_stopping_threshold", self.early_stopping_threshold),
            ("neftune_noise_alpha", self.neftune_noise_alpha.unwrap_or(0.0)),
        ];
        for (field, value) in not_negative {
            if !(value.is_finite() && value >= 0.0) {
                return Err(refuse(field, value, "a finite number of at least 0"));
            }
        }
        let parts = [
            ("adam_beta1", self.adam_beta1),
            ("adam_beta2", self.adam_beta2),
            ("label_smoothing_factor", self.label_smoothing_factor),
            ("warmup_ratio", self.warmup_ratio),
        ];
        for (field, value) in parts {
            if !(0.0..1.0).contains(&value) {
                return Err(refuse(field, value, "at least 0 and below 1"));
            }
        }
        Ok(())
    }

    fn check_steps(&self) -> Result<()> {
        if self.max_steps < -1 || self.max_steps == 0 {
            return Err(refuse("max_steps", self.max_steps, "-1 (use the epochs) or at least 1"));
        }
        if self.max_steps == -1 && !(self.num_train_epochs.is_finite() && self.num_train_epochs > 0.0) {
            return Err(refuse("num_train_epochs", self.num_train_epochs, "above 0 when max_steps is -1"));
        }
        if self.logging_strategy == IntervalStrategy::Steps && self.logging_steps == 0 {
            return Err(refuse("logging_steps", 0, "at least 1, or logging_strategy No"));
        }
        Ok(())
    }

    fn check_schedule(&self) -> Result<()> {
        let kwargs = self.lr_scheduler_kwargs;
        let missing = match self.lr_scheduler_type {
            Schedule::CosineWithMinLr if kwargs.min_lr.is_none() && kwargs.min_lr_rate.is_none() => Some("min_lr or min_lr_rate"),
            Schedule::WarmupStableDecay if kwargs.num_decay_steps.is_none() => Some("num_decay_steps"),
            _ => None,
        };
        if let Some(name) = missing {
            return Err(refuse("lr_scheduler_kwargs", format!("without {name}"), format!("given {name} for {:?}", self.lr_scheduler_type)));
        }
        // A rate below 0 would make the model worse with each step, and one that is no number its weights.
        let highest = self.learning_rate;
        for (name, value, fits, allowed) in [
            ("num_cycles", kwargs.num_cycles, 0.0..=f64::MAX, "a finite number of at least 0"),
            ("power", kwargs.power, 0.0..=f64::MAX, "a finite number of at least 0"),
            ("timescale", kwargs.timescale, f64::MIN_POSITIVE..=f64::MAX, "a finite number above 0"),
            ("lr_end", kwargs.lr_end, 0.0..=highest, "at least 0 and at most learning_rate"),
            ("min_lr", kwargs.min_lr, 0.0..=highest, "at least 0 and at most learning_rate"),
            ("min_lr_rate", kwargs.min_lr_rate, 0.0..=1.0, "at least 0 and at most 1"),
        ] {
            if let Some(value) = value.filter(|value| !fits.contains(value)) {
                return Err(refuse(&format!("lr_scheduler_kwargs.{name}"), value, allowed));
            }
        }
        Ok(())
    }

    fn check_best(&self) -> Result<()> {
        if !["eval_loss", "loss"].contains(&self.metric_for_best_model.as_str()) || self.greater_is_better {
            return Err(refuse("metric_for_best_model", &self.metric_for_best_model, "`eval_loss` with greater_is_better: false"));
        }
        let (eval, save) = (self.eval_strategy, self.save_strategy);
        let together = match (eval, save) {
            (IntervalStrategy::Epoch, IntervalStrategy::Epoch) => true,
            (IntervalStrategy::Steps, IntervalStrategy::Steps) => self.save_steps.is_multiple_of(self.eval_steps.max(1)),
            _ => false,
        };
        if self.load_best_model_at_end && !(self.evaluates() && self.saves() && together) {
            let given = format!("true with save_steps {} and eval_steps {}, by {save:?} and {eval:?}", self.save_steps, self.eval_steps);
            let allowed =
                "true only if eval_strategy and save_strategy are the same, save_steps is a multiple of eval_steps and both are above 0";
            return Err(refuse("load_best_model_at_end", given, allowed));
        }
        if self.early_stopping_patience > 0 && !self.evaluates() {
            return Err(refuse("early_stopping_patience", self.early_stopping_patience, "0 without evaluations (set eval_steps)"));
        }
        Ok(())
    }
}

pub(crate) fn refuse(field: &str, given: impl std::fmt::Display, allowed: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Training, format!("TrainingArguments: {field} is {given}; it must be {allowed}"))
        .hint(format!("change `{field}` in the cell that makes the arguments"))
}
