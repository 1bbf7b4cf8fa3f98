//! Pairs of answers of a step → sequences with weights, whose gradient prefers the chosen ones without a reference: odds ratio
//! preference optimization.
//!
//! Hong et al. 2024, with the names of TRL. With `a` and `b` the mean log probabilities of a token of the chosen and the
//! rejected answer, the loss of a pair is `−β log σ(log odds(a) − log odds(b))`, `odds(x) = e^x / (1 − e^x)`; to it comes the mean
//! negative log probability of the chosen rows' tokens, prompts included, micro-batch by micro-batch.

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::error::Result;
use crate::models::causal::CausalLm;
use crate::train::arguments::settings::TrainingArguments;
use crate::train::batch::TokenWeights;
use crate::train::objective::{Objective, StepTask};
use crate::train::preference::loss::{sigmoid, softplus};
use crate::train::preference::objective::PairRows;
use crate::train::preference::score::scores;
use crate::train::report::{EvalReport, Metrics};

/// ORPO: a finetuning on the chosen answers, which become likelier than the rejected ones.
#[derive(Debug, Clone, Copy)]
pub struct OddsRatio {
    /// What the odds ratio counts beside the log probability, above 0: λ of the paper.
    pub beta: f64,
}

/// What a step needs of a pair.
struct Scored {
    /// Mean log probability of a token of the chosen and of the rejected answer.
    means: [f64; 2],
    log_odds: f64,
    /// The chosen row's part of the mean negative log probability.
    nll: f64,
    /// Pairs over chosen rows' tokens of the micro-batch.
    share: f64,
    lengths: [f64; 2],
}

impl Objective for OddsRatio {
    type Row = PairRows;

    fn lengths(&self, pair: &PairRows) -> Result<Vec<usize>> {
        Ok(pair.inputs())
    }

    fn ids(&self, pair: &PairRows) -> Result<Vec<u32>> {
        Ok(pair.ids())
    }

    fn task<'a>(&self, model: &CausalLm, pairs: &[&'a PairRows], arguments: &TrainingArguments) -> Result<StepTask<'a>> {
        let scored = scored(model, pairs, arguments.per_device_train_batch_size)?;
        // The loss of a row is −log p, hence the signs.
        let weights = scored.iter().flat_map(|pair| {
            let pull = self.beta * sigmoid(-pair.log_odds);
            let [chosen, rejected] = [0, 1].map(|side| pull / ((1.0 - pair.means[side].exp()) * pair.lengths[side]));
            let share = pair.share as f32;
            [TokenWeights { prompt: share, completion: (pair.share + chosen) as f32 }, TokenWeights::completion(-rejected as f32)]
        });
        Ok(StepTask {
            sequences: pairs.iter().flat_map(|pair| &pair.rows).map(Cow::Borrowed).zip(weights).collect(),
            loss: Some((self.loss(&scored), pairs.len() as f64)),
            metrics: self.metrics(&scored),
        })
    }

    fn evaluate(&self, model: &CausalLm, pairs: &[PairRows], arguments: &TrainingArguments) -> Result<EvalReport> {
        let pairs: Vec<&PairRows> = pairs.iter().collect();
        let scored = scored(model, &pairs, arguments.per_device_eval_batch_size)?;
        let tokens = pairs.iter().map(|pair| pair.inputs()[0] + pair.answers()[1]).sum();
        Ok(EvalReport { loss: self.loss(&scored) / pairs.len().max(1) as f64, tokens, metrics: self.metrics(&scored) })
    }

    fn settings(&self) -> Option<(&'static str, Value)> {
        Some(("OrpoConfig", json!({ "args": { "beta": self.beta }, "attributes": {} })))
    }
}

impl OddsRatio {
    /// Summed over the pairs.
    fn loss(&self, scored: &[Scored]) -> f64 {
        scored.iter().map(|pair| pair.nll + self.beta * softplus(-pair.log_odds)).sum()
    }

    fn metrics(&self, scored: &[Scored]) -> Metrics {
        let mean = |value: &dyn Fn(&Scored) -> f64| scored.iter().map(value).sum::<f64>() / scored.len().max(1) as f64;
        let means = [
            ("rewards/chosen", mean(&|pair| self.beta * pair.means[0])),
            ("rewards/rejected", mean(&|pair| self.beta * pair.means[1])),
            ("rewards/margins", mean(&|pair| self.beta * (pair.means[0] - pair.means[1]))),
            ("rewards/accuracies", mean(&|pair| f64::from(u8::from(pair.means[0] > pair.means[1])))),
            ("logps/chosen", mean(&|pair| pair.means[0])),
            ("logps/rejected", mean(&|pair| pair.means[1])),
            ("nll_loss", mean(&|pair| pair.nll)),
            ("log_odds_ratio", mean(&|pair| -softplus(-pair.log_odds))),
            ("log_odds_chosen", mean(&|pair| pair.log_odds)),
        ];
        means.into_iter().map(|(name, mean)| (name.to_string(), mean)).collect()
    }
}

/// What a model says of pairs in micro-batches of `size`.
fn scored(model: &CausalLm, pairs: &[&PairRows], size: usize) -> Result<Vec<Scored>> {
    let sums = scores(model, pairs.iter().flat_map(|pair| &pair.rows), true)?;
    let mut scored = Vec::with_capacity(pairs.len());
    for part in pairs.chunks(size.max(1)) {
        let share = part.len() as f64 / part.iter().map(|pair| pair.inputs()[0]).sum::<usize>() as f64;
        for pair in part {
            let [chosen, rejected] = [0, 1].map(|side| sums[2 * scored.len() + side]);
            let lengths = pair.answers().map(|length| length as f64);
            let means = [chosen.completion / lengths[0], rejected.completion / lengths[1]];
            let log_odds = (means[0] - means[1]) - (log_of_rest(means[0]) - log_of_rest(means[1]));
            scored.push(Scored { means, log_odds, nll: -(chosen.prompt + chosen.completion) * share, share, lengths });
        }
    }
    Ok(scored)
}

/// `log(1 − e^x)` of an x below 0, without loss of digits.
fn log_of_rest(x: f64) -> f64 {
    if x < -std::f64::consts::LN_2 { (-x.exp()).ln_1p() } else { (-x.exp_m1()).ln() }
}
