//! Pairs of answers of a step → sequences with weights, whose gradient prefers the chosen ones: direct preference optimization.
//!
//! Rafailov et al. 2023, with the names of TRL. With `log p` the sum over an answer's ids, the margin of a pair is
//! `β · ((log p − log p_ref)(chosen) − (log p − log p_ref)(rejected))` and its loss `−log σ(margin)`. The loss depends on the
//! model through the two sums alone, so its gradient is that of a weighted cross entropy.

use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::error::Result;
use crate::models::causal::CausalLm;
use crate::tokenizer::encode::Encoding;
use crate::train::arguments::settings::TrainingArguments;
use crate::train::batch::{Batch, GROUP};
use crate::train::objective::{Objective, StepTask};
use crate::train::preference::pair::PreferencePair;
use crate::train::report::{EvalReport, Metrics};
use crate::util::interrupt;

/// Sums of log probabilities of the two answers of a pair, in nats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogProbabilities {
    /// Of the chosen answer.
    pub chosen: f64,
    /// Of the rejected answer.
    pub rejected: f64,
}

/// A pair as the rows that a model reads, with what the reference says of it once it was asked.
#[derive(Debug)]
pub struct PairRows {
    rows: [Encoding; 2],
    reference: OnceLock<LogProbabilities>,
}

impl From<&PreferencePair> for PairRows {
    fn from(pair: &PreferencePair) -> Self {
        Self { rows: pair.rows(), reference: OnceLock::new() }
    }
}

/// DPO: the chosen answers become likelier than the rejected ones, beside a reference.
#[derive(Debug)]
pub struct Preference {
    /// The model that the trained one is held to.
    pub reference: CausalLm,
    /// How strongly, above 0.
    pub beta: f64,
    /// Share of the pairs that may be the wrong way round, 0 to below 0.5.
    pub label_smoothing: f64,
}

/// The two models' sums for some pairs, in one order.
struct Scores {
    policy: Vec<LogProbabilities>,
    reference: Vec<LogProbabilities>,
}

impl Objective for Preference {
    type Row = PairRows;

    fn lengths(&self, pair: &PairRows) -> Result<Vec<usize>> {
        Ok(pair.rows.iter().map(|row| row.input_ids.len() - 1).collect())
    }

    fn ids(&self, pair: &PairRows) -> Result<Vec<u32>> {
        let [chosen, rejected] = &pair.rows;
        Ok([&chosen.input_ids[..], &rejected.input_ids, &[chosen.prompt_length as u32]].concat())
    }

    fn task<'a>(&self, model: &CausalLm, pairs: &[&'a PairRows], arguments: &TrainingArguments) -> Result<StepTask<'a>> {
        let scores = self.scores(model, pairs, arguments)?;
        let weights = scores.each().flat_map(|(policy, reference)| {
            // The loss of a row is −log p, hence the signs.
            let grad = self.loss_grad(self.margin(policy, reference)) * self.beta;
            [-grad as f32, grad as f32]
        });
        Ok(StepTask {
            sequences: pairs.iter().flat_map(|pair| &pair.rows).zip(weights).collect(),
            completion_only: true,
            loss: Some((self.summed_loss(&scores), pairs.len() as f64)),
            metrics: self.metrics(&scores),
        })
    }

    fn evaluate(&self, model: &CausalLm, pairs: &[PairRows], arguments: &TrainingArguments) -> Result<EvalReport> {
        let pairs: Vec<&PairRows> = pairs.iter().collect();
        let scores = self.scores(model, &pairs, arguments)?;
        let mut tokens = 0;
        for row in pairs.iter().flat_map(|pair| &pair.rows) {
            tokens += row.predictions(true)?;
        }
        Ok(EvalReport { loss: self.summed_loss(&scores) / pairs.len().max(1) as f64, tokens, metrics: self.metrics(&scores) })
    }

    fn settings(&self) -> Option<(&'static str, Value)> {
        Some(("DpoConfig", json!({ "args": { "beta": self.beta, "label_smoothing": self.label_smoothing }, "attributes": {} })))
    }
}

impl Preference {
    /// What both models say of pairs. The reference is asked once for each pair, and for each alone: the last bit of a sum may
    /// depend on the rows beside it, and a run that goes on from a checkpoint meets the pairs in other company.
    fn scores(&self, model: &CausalLm, pairs: &[&PairRows], arguments: &TrainingArguments) -> Result<Scores> {
        let asked = self.reference.autocast(arguments.product_type());
        let mut reference = Vec::with_capacity(pairs.len());
        for pair in pairs {
            reference.push(match pair.reference.get() {
                Some(known) => *known,
                None => {
                    let sums = log_probabilities_of(&asked, &[pair])?[0];
                    *pair.reference.get_or_init(|| sums)
                }
            });
        }
        Ok(Scores { policy: log_probabilities_of(model, pairs)?, reference })
    }

    fn margin(&self, policy: LogProbabilities, reference: LogProbabilities) -> f64 {
        self.beta * ((policy.chosen - reference.chosen) - (policy.rejected - reference.rejected))
    }

    fn summed_loss(&self, scores: &Scores) -> f64 {
        let loss = |margin: f64| (1.0 - self.label_smoothing) * softplus(-margin) + self.label_smoothing * softplus(margin);
        scores.each().map(|(policy, reference)| loss(self.margin(policy, reference))).sum()
    }

    /// The derivative of a pair's loss by its margin.
    fn loss_grad(&self, margin: f64) -> f64 {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        self.label_smoothing * sigmoid(margin) - (1.0 - self.label_smoothing) * sigmoid(-margin)
    }

    /// What TRL logs: means of rewards `β · (log p − log p_ref)`, of their differences, and of how often the chosen one is higher.
    fn metrics(&self, scores: &Scores) -> Metrics {
        let mean = |value: &dyn Fn(LogProbabilities, LogProbabilities) -> f64| {
            scores.each().map(|(policy, reference)| value(policy, reference)).sum::<f64>() / scores.policy.len().max(1) as f64
        };
        let means = [
            ("rewards/chosen", mean(&|policy, reference| self.beta * (policy.chosen - reference.chosen))),
            ("rewards/rejected", mean(&|policy, reference| self.beta * (policy.rejected - reference.rejected))),
            ("rewards/margins", mean(&|policy, reference| self.margin(policy, reference))),
            ("rewards/accuracies", mean(&|policy, reference| f64::from(u8::from(self.margin(policy, reference) > 0.0)))),
        ];
        means.into_iter().map(|(name, mean)| (name.to_string(), mean)).collect()
    }
}

impl Scores {
    fn each(&self) -> impl Iterator<Item = (LogProbabilities, LogProbabilities)> {
        self.policy.iter().copied().zip(self.reference.iter().copied())
    }
}

/// `log(1 + e^x) = −log σ(−x)`, without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// The sums of the answers' log probabilities under a model, dropout off.
///
/// # Errors
/// When a pair is none that the model can read, or after an interrupt.
pub fn log_probabilities(model: &CausalLm, pairs: &[PreferencePair]) -> Result<Vec<LogProbabilities>> {
    let pairs: Vec<PairRows> = pairs.iter().map(PairRows::from).collect();
    log_probabilities_of(model, &pairs.iter().collect::<Vec<_>>())
}

fn log_probabilities_of(model: &CausalLm, pairs: &[&PairRows]) -> Result<Vec<LogProbabilities>> {
    let rows = pairs.iter().flat_map(|pair| &pair.rows).map(|row| (row, 1.0));
    let mut sums = Vec::with_capacity(2 * pairs.len());
    for batch in Batch::group(rows, true, model.config(), GROUP)? {
        interrupt::check("while answers were scored; nothing was changed")?;
        let losses = model.losses(batch.inputs(), batch.lengths(), batch.targets(0.0))?;
        let mut rest = losses.as_slice();
        for &length in batch.lengths() {
            let (row, after) = rest.split_at(length);
            sums.push(-row.iter().map(|loss| f64::from(*loss)).sum::<f64>());
            rest = after;
        }
    }
    Ok(sums.chunks_exact(2).map(|pair| LogProbabilities { chosen: pair[0], rejected: pair[1] }).collect())
}
