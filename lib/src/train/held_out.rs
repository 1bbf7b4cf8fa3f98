//! Held-out rows, and metrics of the caller's own → the report of an evaluation: transformers' `compute_metrics`.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};
use crate::models::causal::CausalLm;
use crate::train::arguments::settings::TrainingArguments;
use crate::train::objective::Objective;
use crate::train::report::{EvalReport, Metrics};

/// What metrics are computed of.
#[derive(Debug)]
#[non_exhaustive]
pub struct EvalContext<'a, R> {
    /// The model in training.
    pub model: &'a CausalLm,
    /// The held-out rows.
    pub rows: &'a [R],
    /// Loss and metrics of the objective.
    pub report: &'a EvalReport,
}

/// Numbers by name, of an evaluation.
type ComputeMetrics<R> = Box<dyn Fn(&EvalContext<R>) -> Result<Metrics> + Send + Sync>;

/// Names that a log of an evaluation has already.
const TAKEN: [&str; 4] = ["loss", "runtime", "samples_per_second", "steps_per_second"];

/// The rows that a run is evaluated on, and what is computed of them beside the objective's loss.
pub struct HeldOut<R> {
    /// The rows; none where a run does not evaluate.
    pub rows: Vec<R>,
    /// More metrics.
    pub compute_metrics: Option<ComputeMetrics<R>>,
}

impl<R> HeldOut<R> {
    /// The objective's report on the rows, with the metrics that were asked for.
    ///
    /// # Errors
    /// The objective's, those of `compute_metrics`, and when a metric has the name of what each log has.
    pub fn evaluate<O: Objective<Row = R>>(&self, objective: &O, model: &CausalLm, arguments: &TrainingArguments) -> Result<EvalReport> {
        let mut report = objective.evaluate(model, &self.rows, arguments)?;
        let Some(compute) = &self.compute_metrics else { return Ok(report) };
        let own = compute(&EvalContext { model, rows: &self.rows, report: &report }).map_err(|error| error.at("compute_metrics"))?;
        if let Some(name) = own.keys().find(|name| TAKEN.contains(&name.as_str())) {
            return Err(Error::new(ErrorKind::Training, format!("compute_metrics gives `{name}`, which each evaluation logs itself"))
                .hint("give the metric another name"));
        }
        report.metrics.extend(own);
        Ok(report)
    }
}

impl<R> From<Vec<R>> for HeldOut<R> {
    fn from(rows: Vec<R>) -> Self {
        Self { rows, compute_metrics: None }
    }
}

impl<R> fmt::Debug for HeldOut<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("HeldOut").field("rows", &self.rows.len()).finish_non_exhaustive()
    }
}
