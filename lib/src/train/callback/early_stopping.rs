//! Evaluations that no longer get better → a request to stop: `EarlyStoppingCallback` of transformers.

use serde_json::{Value, json};

use crate::error::Result;
use crate::train::callback::trainer_callback::{CallbackContext, Control, TrainerCallback};

/// Stops when `patience` evaluations in a row were not better than the best one by more than `threshold`.
#[derive(Debug, Clone, PartialEq)]
pub struct EarlyStopping {
    patience: usize,
    threshold: f64,
    counter: usize,
}

impl EarlyStopping {
    /// As `EarlyStoppingCallback(early_stopping_patience, early_stopping_threshold)`.
    pub fn new(patience: usize, threshold: f64) -> Self {
        Self { patience, threshold, counter: 0 }
    }

    fn control(&self) -> Control {
        Control { stop: self.counter >= self.patience, ..Default::default() }
    }
}

impl TrainerCallback for EarlyStopping {
    fn name(&self) -> &'static str {
        "EarlyStoppingCallback"
    }

    fn on_train_begin(&mut self, _context: &CallbackContext) -> Result<Control> {
        Ok(self.control())
    }

    fn on_evaluate(&mut self, context: &CallbackContext) -> Result<Control> {
        let Some(loss) = context.state.log_history.last().and_then(|entry| entry.get("eval_loss")?.as_f64()) else {
            return Ok(Control::default());
        };
        let better = context.state.best_metric.is_none_or(|best| best - loss > self.threshold);
        self.counter = if better { 0 } else { self.counter + 1 };
        Ok(self.control())
    }

    fn state(&self) -> Option<Value> {
        Some(json!({
            "args": { "early_stopping_patience": self.patience, "early_stopping_threshold": self.threshold },
            "attributes": { "early_stopping_patience_counter": self.counter },
        }))
    }

    fn load_state(&mut self, state: &Value) {
        self.counter = state["attributes"]["early_stopping_patience_counter"].as_u64().unwrap_or(0) as usize;
    }
}
