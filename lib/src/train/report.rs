//! What a run says of itself: one [`StepReport`] a step, one [`EvalReport`] an evaluation, whatever it learns.

use std::collections::BTreeMap;

/// Numbers by name, beside those that every run has: an objective's own, such as TRL's `rewards/chosen`.
pub type Metrics = BTreeMap<String, f64>;

/// What one optimizer step did.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct StepReport {
    /// Steps taken, counted from 1.
    pub step: usize,
    /// Passes over the training rows so far.
    pub epoch: f64,
    /// Mean loss of the step before its update: of a predicted token, or of a pair of answers. In nats.
    pub loss: f64,
    /// Learning rate after the step, as transformers logs it.
    pub learning_rate: f64,
    /// Norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Input tokens of the step.
    pub tokens: usize,
    /// Floating point operations of the step: see [`crate::train::log::meter::training_flops`].
    pub flops: f64,
    /// Seconds that the step took.
    pub seconds: f64,
    /// Seconds of that in the optimizer.
    pub optimizer_seconds: f64,
    /// Loss on the evaluation rows, when this step evaluated.
    pub eval_loss: Option<f64>,
    /// The objective's own numbers, means of the step before its update. Empty where it has none.
    pub metrics: Metrics,
}

/// Loss on held-out rows.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct EvalReport {
    /// Mean loss of a predicted token, or of a pair of answers. In nats.
    pub loss: f64,
    /// Predicted tokens.
    pub tokens: usize,
    /// The objective's own means over the rows. Empty where it has none.
    pub metrics: Metrics,
}

/// Means over parts of a batch, of those that have a number of a name.
pub(crate) fn mean_metrics(parts: &[Metrics]) -> Metrics {
    let mean = |name: &String| {
        let values: Vec<f64> = parts.iter().filter_map(|metrics| metrics.get(name)).copied().collect();
        (name.clone(), values.iter().sum::<f64>() / values.len() as f64)
    };
    parts.iter().flat_map(Metrics::keys).map(mean).collect()
}

impl EvalReport {
    /// `e^loss`, which says something of losses of tokens only.
    pub fn perplexity(&self) -> f64 {
        self.loss.exp()
    }
}
