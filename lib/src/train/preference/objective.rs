//! Pairs of answers of a step → sequences with weights, whose gradient prefers the chosen ones: direct preference optimization.
//!
//! Rafailov et al. 2023, with the names of TRL. A loss of [`crate::train::preference::loss`] depends on the model through the
//! sums of two answers' log probabilities alone, so its gradient is that of a weighted cross entropy.

use std::borrow::Cow;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::error::Result;
use crate::models::causal::CausalLm;
use crate::tokenizer::encode::Encoding;
use crate::train::arguments::settings::TrainingArguments;
use crate::train::batch::TokenWeights;
use crate::train::objective::{Objective, StepTask};
use crate::train::preference::loss::{PairLoss, PairTerms};
use crate::train::preference::pair::PreferencePair;
use crate::train::preference::score::scores;
use crate::train::report::{EvalReport, Metrics};

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
    pub(super) rows: [Encoding; 2],
    reference: OnceLock<LogProbabilities>,
}

impl From<&PreferencePair> for PairRows {
    fn from(pair: &PreferencePair) -> Self {
        Self { rows: pair.rows(), reference: OnceLock::new() }
    }
}

impl PairRows {
    /// Input ids of the two rows.
    pub(super) fn inputs(&self) -> Vec<usize> {
        self.rows.iter().map(|row| row.input_ids.len() - 1).collect()
    }

    /// All ids, and where the answers begin.
    pub(super) fn ids(&self) -> Vec<u32> {
        let [chosen, rejected] = &self.rows;
        [&chosen.input_ids[..], &rejected.input_ids, &[chosen.prompt_length as u32]].concat()
    }

    /// Ids of the two answers.
    pub(super) fn answers(&self) -> [usize; 2] {
        self.rows.each_ref().map(|row| row.input_ids.len() - row.prompt_length)
    }
}

/// DPO: the chosen answers become likelier than the rejected ones, beside a reference.
#[derive(Debug)]
pub struct Preference {
    /// The model that the trained one is held to.
    pub reference: CausalLm,
    /// What is made of the two models' log probabilities.
    pub loss: PairLoss,
}

/// What a step needs of some pairs, in one order: the terms of each loss, the loss, and its derivatives.
struct Scored(Vec<(PairTerms, f64, [f64; 2])>);

impl Objective for Preference {
    type Row = PairRows;

    fn lengths(&self, pair: &PairRows) -> Result<Vec<usize>> {
        Ok(pair.inputs())
    }

    fn ids(&self, pair: &PairRows) -> Result<Vec<u32>> {
        Ok(pair.ids())
    }

    fn task<'a>(&self, model: &CausalLm, pairs: &[&'a PairRows], arguments: &TrainingArguments) -> Result<StepTask<'a>> {
        let scored = self.scored(model, pairs, arguments, arguments.per_device_train_batch_size)?;
        // The loss of a row is −log p, hence the sign.
        let weights = scored.0.iter().flat_map(|(_, _, grads)| grads.map(|grad| TokenWeights::completion(-grad as f32)));
        Ok(StepTask {
            sequences: pairs.iter().flat_map(|pair| &pair.rows).map(Cow::Borrowed).zip(weights).collect(),
            loss: Some((scored.loss(), pairs.len() as f64)),
            metrics: self.metrics(&scored),
        })
    }

    fn evaluate(&self, model: &CausalLm, pairs: &[PairRows], arguments: &TrainingArguments) -> Result<EvalReport> {
        let pairs: Vec<&PairRows> = pairs.iter().collect();
        let scored = self.scored(model, &pairs, arguments, arguments.per_device_eval_batch_size)?;
        let tokens = pairs.iter().flat_map(|pair| pair.answers()).sum();
        Ok(EvalReport { loss: scored.loss() / pairs.len().max(1) as f64, tokens, metrics: self.metrics(&scored) })
    }

    fn settings(&self) -> Option<(&'static str, Value)> {
        Some(("DpoConfig", json!({ "args": self.loss.settings(), "attributes": {} })))
    }
}

impl Preference {
    /// What both models say of pairs in micro-batches of `size`. The reference is asked once for each pair, and for each alone:
    /// the last bit of a sum may depend on the rows beside it, and a run that goes on from a checkpoint meets the pairs in other
    /// company.
    fn scored(&self, model: &CausalLm, pairs: &[&PairRows], arguments: &TrainingArguments, size: usize) -> Result<Scored> {
        let asked = self.reference.autocast(arguments.product_type());
        for pair in pairs {
            if pair.reference.get().is_none() {
                let sums = log_probabilities_of(&asked, &[pair])?[0];
                pair.reference.get_or_init(|| sums);
            }
        }
        let policy = log_probabilities_of(model, pairs)?;
        let mut scored = Vec::with_capacity(pairs.len());
        for part in pairs.chunks(size.max(1)) {
            let share = part.len() as f64 / part.iter().map(|pair| pair.answers()[0]).sum::<usize>() as f64;
            for pair in part {
                let LogProbabilities { chosen, rejected } = policy[scored.len()];
                let reference = pair.reference.get().copied().unwrap_or(policy[scored.len()]);
                let ratios = [chosen - reference.chosen, rejected - reference.rejected];
                let terms = PairTerms { log_p: chosen, ratios, lengths: pair.answers().map(|length| length as f64), share };
                let (loss, grads) = self.loss.of(terms);
                scored.push((terms, loss, grads));
            }
        }
        Ok(Scored(scored))
    }

    /// What TRL logs: means of rewards `β · (log p − log p_ref)`, of their differences, and of how often the chosen one is higher.
    fn metrics(&self, scored: &Scored) -> Metrics {
        let mean = |value: &dyn Fn([f64; 2]) -> f64| {
            scored.0.iter().map(|(terms, ..)| value(terms.ratios)).sum::<f64>() / scored.0.len().max(1) as f64
        };
        let means = [
            ("rewards/chosen", mean(&|ratios| self.loss.beta * ratios[0])),
            ("rewards/rejected", mean(&|ratios| self.loss.beta * ratios[1])),
            ("rewards/margins", mean(&|ratios| self.loss.margin(ratios))),
            ("rewards/accuracies", mean(&|ratios| f64::from(u8::from(self.loss.margin(ratios) > 0.0)))),
        ];
        means.into_iter().map(|(name, mean)| (name.to_string(), mean)).collect()
    }
}

impl Scored {
    fn loss(&self) -> f64 {
        self.0.iter().map(|(_, loss, _)| loss).sum()
    }
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
    let sums = scores(model, pairs.iter().flat_map(|pair| &pair.rows), false)?;
    Ok(sums.chunks_exact(2).map(|pair| LogProbabilities { chosen: pair[0].completion, rejected: pair[1].completion }).collect())
}
