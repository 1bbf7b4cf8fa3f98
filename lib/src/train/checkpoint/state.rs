//! The steps of a run → `trainer_state.json`, with the keys and meanings of transformers 5.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::error::Result;
use crate::train::arguments::settings::TrainingArguments;
use crate::train::report::{EvalReport, StepReport};
use crate::util::write::write_whole;

/// The name of its file, in a checkpoint and, while a run goes on, in its output folder.
pub const STATE_FILE: &str = "trainer_state.json";

/// Names and numbers of one log: `loss`, `grad_norm`, `learning_rate`, `epoch`, `step`, or `eval_…`.
pub type LogEntry = BTreeMap<String, Value>;

/// Where a run stands. The fields are those of transformers, in its order (the alphabet's).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TrainerState {
    /// Step of the best evaluation.
    pub best_global_step: Option<usize>,
    /// The best `eval_loss`.
    pub best_metric: Option<f64>,
    /// The best evaluation's checkpoint, if it was saved.
    pub best_model_checkpoint: Option<String>,
    /// Passes over the rows.
    pub epoch: f64,
    /// Steps between evaluations.
    pub eval_steps: usize,
    /// Steps taken.
    pub global_step: usize,
    is_hyper_param_search: bool,
    is_local_process_zero: bool,
    is_world_process_zero: bool,
    /// All logs: a training log has the mean loss since the last one, and the rate that its step has used.
    pub log_history: Vec<LogEntry>,
    /// Steps between logs.
    pub logging_steps: usize,
    /// Steps of the whole run.
    pub max_steps: usize,
    /// Ids read so far (transformers writes 0 unless told to count).
    pub num_input_tokens_seen: usize,
    /// Passes that the whole run begins.
    pub num_train_epochs: usize,
    /// Steps between checkpoints.
    pub save_steps: usize,
    /// What callbacks have to remember, by their names.
    pub stateful_callbacks: Map<String, Value>,
    /// `6 · ids · non-embedding parameters`.
    pub total_flos: f64,
    /// Rows in a micro-batch.
    pub train_batch_size: usize,
    trial_name: Option<String>,
    trial_params: Option<Value>,
}

impl TrainerState {
    /// The state before the first step of a run of `max_steps`, `epoch_steps` a pass.
    pub fn new(arguments: &TrainingArguments, max_steps: usize, epoch_steps: usize) -> Self {
        let epochs = if arguments.max_steps > 0 { max_steps.div_ceil(epoch_steps) } else { arguments.num_train_epochs.ceil() as usize };
        Self {
            best_global_step: None,
            best_metric: None,
            best_model_checkpoint: None,
            epoch: 0.0,
            eval_steps: arguments.eval_steps,
            global_step: 0,
            is_hyper_param_search: false,
            is_local_process_zero: true,
            is_world_process_zero: true,
            log_history: Vec::new(),
            logging_steps: arguments.logging_steps,
            max_steps,
            num_input_tokens_seen: 0,
            num_train_epochs: epochs,
            save_steps: arguments.save_steps,
            stateful_callbacks: Map::new(),
            total_flos: 0.0,
            train_batch_size: arguments.per_device_train_batch_size,
            trial_name: None,
            trial_params: None,
        }
    }

    /// Writes the state into a folder, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        write_whole(&folder.join(STATE_FILE), format!("{text}\n").as_bytes())
    }

    /// Adds a log of the steps since the last one; `rate` is what the last step has used. None when there is no new step.
    pub fn log_steps(&mut self, history: &[StepReport], rate: f64) -> Option<&LogEntry> {
        let logged = self.log_history.iter().rev().find(|entry| entry.contains_key("loss")).and_then(|entry| entry["step"].as_u64());
        let new = history.get(logged.unwrap_or(0) as usize..).filter(|new| !new.is_empty())?;
        let mean = |value: &dyn Fn(&StepReport) -> f64| new.iter().map(value).sum::<f64>() / new.len() as f64;
        let last = &history[history.len() - 1];
        let mut numbers = json!({ "loss": mean(&|step| step.loss), "grad_norm": last.grad_norm, "learning_rate": rate });
        for name in new.iter().flat_map(|step| step.metrics.keys()) {
            // A step may have nothing of a kind, and then no mean of it.
            let values: Vec<f64> = new.iter().filter_map(|step| step.metrics.get(name)).copied().collect();
            numbers[name] = (values.iter().sum::<f64>() / values.len() as f64).into();
        }
        self.log(numbers)
    }

    /// Adds an evaluation of `rows` rows in batches of `batch_size`, which took some seconds.
    pub fn log_evaluation(&mut self, report: &EvalReport, rows: usize, batch_size: usize, seconds: f64) -> Option<&LogEntry> {
        let a_second = |count: usize| count as f64 / seconds.max(1e-9);
        let mut numbers = json!({
            "eval_loss": report.loss, "eval_runtime": seconds, "eval_samples_per_second": a_second(rows),
            "eval_steps_per_second": a_second(rows.div_ceil(batch_size)),
        });
        for (name, value) in &report.metrics {
            numbers[format!("eval_{name}")] = (*value).into();
        }
        self.log(numbers)
    }

    /// Adds an entry for the present step.
    pub fn log(&mut self, numbers: Value) -> Option<&LogEntry> {
        let Value::Object(mut numbers) = numbers else { return None };
        numbers.insert("epoch".into(), self.epoch.into());
        numbers.insert("step".into(), self.global_step.into());
        self.log_history.push(numbers.into_iter().collect());
        self.log_history.last()
    }

    /// Takes an evaluation of the present step as the best one if it is.
    pub fn remember_best(&mut self, loss: f64) {
        if loss.is_finite() && self.best_metric.is_none_or(|best| loss < best) {
            (self.best_metric, self.best_global_step) = (Some(loss), Some(self.global_step));
        }
    }
}
