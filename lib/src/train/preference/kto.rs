//! Good and bad answers of a step → sequences with weights, whose gradient makes the good ones likelier: Kahneman-Tversky
//! optimization.
//!
//! Ethayarajh et al. 2024, with the names of TRL. With `r = log p − log p_ref` of an answer and `z` the mean of the same over the
//! micro-batch's answers, each moved on to the next prompt and cut at 0, the loss is `1 − σ(β (r − z))` of a good answer,
//! `1 − σ(β (z − r))` of a bad one. No gradient goes through `z`.

use std::borrow::Cow;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::error::Result;
use crate::models::causal::CausalLm;
use crate::tokenizer::encode::Encoding;
use crate::train::arguments::settings::TrainingArguments;
use crate::train::batch::TokenWeights;
use crate::train::objective::{Objective, StepTask};
use crate::train::preference::loss::sigmoid;
use crate::train::preference::score::scores;
use crate::train::preference::unpaired::{UnpairedPreference, row};
use crate::train::report::{EvalReport, Metrics, mean_metrics};

/// A loss of an answer, by TRL's name in `loss_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum KtoLoss {
    /// Beside the mean log ratio of answers that do not belong to their prompts.
    #[default]
    Kto,
    /// The same with 0 in its place, for a micro-batch of any size (D'Oosterlinck et al. 2024, unpaired).
    ApoZeroUnpaired,
}

impl KtoLoss {
    /// TRL's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kto => "kto",
            Self::ApoZeroUnpaired => "apo_zero_unpaired",
        }
    }
}

/// An answer as the row that a model reads, with what the reference says of it once it was asked.
#[derive(Debug)]
pub struct UnpairedRow {
    row: Encoding,
    label: bool,
    reference: OnceLock<f64>,
}

impl From<&UnpairedPreference> for UnpairedRow {
    fn from(answer: &UnpairedPreference) -> Self {
        Self { row: answer.row(), label: answer.label, reference: OnceLock::new() }
    }
}

/// KTO: good answers become likelier, bad ones less likely, beside a reference.
#[derive(Debug)]
pub struct KahnemanTversky {
    /// The model that the trained one is held to.
    pub reference: CausalLm,
    /// The loss.
    pub loss_type: KtoLoss,
    /// How strongly, above 0.
    pub beta: f64,
    /// What the loss of a good answer counts.
    pub desirable_weight: f64,
    /// What the loss of a bad answer counts.
    pub undesirable_weight: f64,
}

/// What a step needs of some answers.
#[derive(Default)]
struct Scored {
    loss: f64,
    /// The derivative of the summed loss by each answer's `log p`.
    grads: Vec<f64>,
    /// Means of each micro-batch.
    metrics: Vec<Metrics>,
}

impl Objective for KahnemanTversky {
    type Row = UnpairedRow;

    fn lengths(&self, answer: &UnpairedRow) -> Result<Vec<usize>> {
        Ok(vec![answer.row.input_ids.len() - 1])
    }

    fn ids(&self, answer: &UnpairedRow) -> Result<Vec<u32>> {
        Ok([&answer.row.input_ids[..], &[answer.row.prompt_length as u32, u32::from(answer.label)]].concat())
    }

    fn task<'a>(&self, model: &CausalLm, rows: &[&'a UnpairedRow], arguments: &TrainingArguments) -> Result<StepTask<'a>> {
        let scored = self.scored(model, rows, arguments, arguments.per_device_train_batch_size)?;
        // The loss of a row is −log p, hence the sign.
        let weights = scored.grads.iter().map(|grad| TokenWeights::completion(-*grad as f32));
        Ok(StepTask {
            sequences: rows.iter().map(|answer| Cow::Borrowed(&answer.row)).zip(weights).collect(),
            loss: Some((scored.loss, rows.len() as f64)),
            metrics: mean_metrics(&scored.metrics),
        })
    }

    fn evaluate(&self, model: &CausalLm, rows: &[UnpairedRow], arguments: &TrainingArguments) -> Result<EvalReport> {
        let rows: Vec<&UnpairedRow> = rows.iter().collect();
        let scored = self.scored(model, &rows, arguments, arguments.per_device_eval_batch_size)?;
        let tokens = rows.iter().map(|answer| answer.row.input_ids.len() - answer.row.prompt_length).sum();
        Ok(EvalReport { loss: scored.loss / rows.len().max(1) as f64, tokens, metrics: mean_metrics(&scored.metrics) })
    }

    fn settings(&self) -> Option<(&'static str, Value)> {
        let Self { loss_type, beta, desirable_weight, undesirable_weight, .. } = self;
        let args = json!({
            "loss_type": loss_type.name(), "beta": beta, "desirable_weight": desirable_weight, "undesirable_weight": undesirable_weight,
        });
        Some(("KtoConfig", json!({ "args": args, "attributes": {} })))
    }
}

impl KahnemanTversky {
    /// What both models say of answers in micro-batches of `size`. The reference is asked for each row alone: the last bit of a
    /// sum may depend on the rows beside it, and a run that goes on from a checkpoint meets them in other company.
    fn scored(&self, model: &CausalLm, rows: &[&UnpairedRow], arguments: &TrainingArguments, size: usize) -> Result<Scored> {
        let asked = self.reference.autocast(arguments.product_type());
        let alone = |row: &Encoding| -> Result<f64> { Ok(scores(&asked, [row], false)?[0].completion) };
        let mut scored = Scored::default();
        for part in rows.chunks(size.max(1)) {
            let own = scores(model, part.iter().map(|answer| &answer.row), false)?;
            let baseline = match self.loss_type {
                KtoLoss::ApoZeroUnpaired => 0.0,
                KtoLoss::Kto => {
                    let moved = moved_on(part, model.config().max_position_embeddings());
                    let mut sum = 0.0;
                    for (row, score) in moved.iter().zip(scores(model, &moved, false)?) {
                        sum += score.completion - alone(row)?;
                    }
                    (sum / part.len() as f64).max(0.0)
                }
            };
            let mut rewards = [Vec::new(), Vec::new()];
            for (answer, score) in part.iter().zip(own) {
                let reference = match answer.reference.get() {
                    Some(known) => *known,
                    None => {
                        let sum = alone(&answer.row)?;
                        *answer.reference.get_or_init(|| sum)
                    }
                };
                let ratio = score.completion - reference;
                let (sign, weight) = if answer.label { (1.0, self.desirable_weight) } else { (-1.0, self.undesirable_weight) };
                let wanted = sigmoid(sign * self.beta * (ratio - baseline));
                scored.loss += weight * (1.0 - wanted);
                scored.grads.push(-sign * weight * self.beta * wanted * (1.0 - wanted));
                rewards[usize::from(!answer.label)].push((self.beta * ratio, score.completion));
            }
            scored.metrics.push(metrics(baseline, &rewards));
        }
        Ok(scored)
    }
}

/// Each answer behind the prompt that follows its own, the last one behind the first, cut where the model's positions end.
fn moved_on(rows: &[&UnpairedRow], positions: usize) -> Vec<Encoding> {
    let answers = rows.iter().cycle().skip(rows.len() - 1);
    let moved = |(own, other): (&&UnpairedRow, &&UnpairedRow)| {
        let (prompt, answer) = (&own.row.input_ids[..own.row.prompt_length], &other.row.input_ids[other.row.prompt_length..]);
        row(prompt, &answer[..answer.len().min(positions + 1 - prompt.len())])
    };
    rows.iter().zip(answers).map(moved).collect()
}

/// What TRL logs of a micro-batch; a side without answers has no means.
fn metrics(baseline: f64, [good, bad]: &[Vec<(f64, f64)>; 2]) -> Metrics {
    let mut metrics = Metrics::from([("kl".to_string(), baseline)]);
    let mut mean = |side: &str, answers: &[(f64, f64)]| {
        let count = answers.len() as f64;
        let [reward, log_p] = [answers.iter().map(|(reward, _)| reward).sum::<f64>(), answers.iter().map(|(_, log_p)| log_p).sum()];
        if !answers.is_empty() {
            metrics.extend([(format!("rewards/{side}"), reward / count), (format!("logps/{side}"), log_p / count)]);
        }
    };
    mean("chosen", good);
    mean("rejected", bad);
    if let (Some(good), Some(bad)) = (metrics.get("rewards/chosen").copied(), metrics.get("rewards/rejected").copied()) {
        metrics.insert("rewards/margins".into(), good - bad);
    }
    metrics
}
