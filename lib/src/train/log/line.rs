//! Reports → the lines that transformers prints: Python dictionaries.

use std::fmt::Write;

use serde_json::Value;

use crate::train::checkpoint::state::LogEntry;
use crate::train::report::{EvalReport, Metrics, StepReport};

/// The line of a log of steps: the entry's means, and of the last step the norm, the rate after it and the epoch.
pub fn step_line(last: &StepReport, entry: &LogEntry) -> String {
    let number = |name: &str| entry.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN);
    let means = last.metrics.keys().map(|name| (name.clone(), number(name))).collect();
    // The rate after the step, as the course prints it; the file has the one that was used.
    format!(
        "{{'loss': {:.4}, 'grad_norm': {:.4}, 'learning_rate': {:.3e}, {}'epoch': {:.2}}}",
        number("loss"),
        last.grad_norm,
        last.learning_rate,
        named("", &means),
        last.epoch
    )
}

/// The line of an evaluation.
pub fn eval_line(report: &EvalReport, epoch: f64) -> String {
    format!("{{'eval_loss': {:.4}, {}'epoch': {epoch:.2}}}", report.loss, named("eval_", &report.metrics))
}

fn named(prefix: &str, metrics: &Metrics) -> String {
    let mut text = String::new();
    for (name, value) in metrics {
        let _ = write!(text, "'{prefix}{name}': {value:.4}, ");
    }
    text
}
