//! (model with one score, pairs of answers) → a reward model, which scores the better ones higher: TRL's `RewardTrainer`.
//!
//! The loss of a pair is `−log σ(r − r')` of the rewards of the chosen and the rejected answer (Bradley and Terry 1952), to which
//! `center_rewards_coefficient` adds its share of `(r + r')²` (Eisenstein et al. 2023).

use std::borrow::Cow;
use std::ops::{Deref, DerefMut};

use serde_json::{Value, json};

use crate::error::{Error, ErrorKind, Result};
use crate::models::causal::CausalLm;
use crate::models::classifier::SequenceClassifier;
use crate::models::decoder::TrainBatch;
use crate::tokenizer::encode::Encoding;
use crate::train::arguments::settings::TrainingArguments;
use crate::train::batch::TokenWeights;
use crate::train::check::weights;
use crate::train::objective::{Objective, StepTask};
use crate::train::preference::check;
use crate::train::preference::loss::{sigmoid, softplus};
use crate::train::preference::pair::PreferencePair;
use crate::train::report::{EvalReport, Metrics, mean_metrics};
use crate::train::score::sequence;
use crate::train::trainer::Trainer;

/// Settings of [`RewardTrainer`]; TRL's `RewardConfig`.
#[derive(Debug, Clone, PartialEq)]
pub struct RewardConfig {
    /// What the square of a pair's summed rewards counts, at least 0: it keeps rewards around 0. Default none.
    pub center_rewards_coefficient: Option<f64>,
    /// All that a [`Trainer`] is told, with the default of TRL for learning_rate: 1e-4. A row is a pair. Refused is what
    /// [`crate::train::preference::trainer::DpoConfig`] refuses.
    pub arguments: TrainingArguments,
}

impl Default for RewardConfig {
    fn default() -> Self {
        Self { center_rewards_coefficient: None, arguments: TrainingArguments { learning_rate: 1e-4, ..Default::default() } }
    }
}

/// Two answers as the rows that a model scores.
#[derive(Debug)]
pub struct ScoredPair([Encoding; 2]);

/// The chosen answer's reward becomes higher than the other's.
#[derive(Debug, Clone, Copy)]
pub struct Reward {
    /// What the square of a pair's summed rewards counts.
    pub center: f64,
}

/// What a step needs of some pairs.
struct Scored {
    loss: f64,
    /// The derivatives of the summed loss by the rewards of each pair.
    grads: Vec<[f64; 2]>,
    metrics: Metrics,
}

impl Objective for Reward {
    type Row = ScoredPair;

    fn lengths(&self, pair: &ScoredPair) -> Result<Vec<usize>> {
        Ok(pair.0.iter().map(|row| row.prompt_length).collect())
    }

    fn ids(&self, pair: &ScoredPair) -> Result<Vec<u32>> {
        Ok(pair.0.iter().flat_map(|row| row.input_ids.iter().copied()).collect())
    }

    fn task<'a>(&self, model: &CausalLm, pairs: &[&'a ScoredPair], arguments: &TrainingArguments) -> Result<StepTask<'a>> {
        let scored = self.scored(model, pairs, arguments.per_device_train_batch_size)?;
        let weights = scored.grads.iter().flatten().map(|grad| TokenWeights::completion(*grad as f32));
        Ok(StepTask {
            sequences: pairs.iter().flat_map(|pair| &pair.0).map(Cow::Borrowed).zip(weights).collect(),
            loss: Some((scored.loss, pairs.len() as f64)),
            metrics: scored.metrics,
        })
    }

    /// The "loss" of a row is its reward.
    fn backward(&self, model: &CausalLm, batch: TrainBatch) -> Result<f64> {
        Ok(model.decoder().backward_of(model.backend(), batch, &|scores, _| scores.squeeze(1))?)
    }

    fn evaluate(&self, model: &CausalLm, pairs: &[ScoredPair], arguments: &TrainingArguments) -> Result<EvalReport> {
        let scored = self.scored(model, &pairs.iter().collect::<Vec<_>>(), arguments.per_device_eval_batch_size)?;
        Ok(EvalReport { loss: scored.loss / pairs.len().max(1) as f64, tokens: 2 * pairs.len(), metrics: scored.metrics })
    }

    fn settings(&self) -> Option<(&'static str, Value)> {
        Some(("RewardConfig", json!({ "args": { "center_rewards_coefficient": self.center }, "attributes": {} })))
    }
}

impl Reward {
    fn scored(&self, model: &CausalLm, pairs: &[&ScoredPair], size: usize) -> Result<Scored> {
        let rewards = model.scores(&pairs.iter().flat_map(|pair| &pair.0).map(sequence::ids).collect::<Vec<_>>())?;
        let rewards: Vec<[f64; 2]> = rewards.chunks_exact(2).map(|pair| [f64::from(pair[0][0]), f64::from(pair[1][0])]).collect();
        let loss = |[chosen, rejected]: &[f64; 2]| softplus(rejected - chosen) + self.center * (chosen + rejected).powi(2);
        let grads = |[chosen, rejected]: &[f64; 2]| {
            let (pull, center) = (sigmoid(rejected - chosen), 2.0 * self.center * (chosen + rejected));
            [center - pull, center + pull]
        };
        Ok(Scored {
            loss: rewards.iter().map(loss).sum(),
            grads: rewards.iter().map(grads).collect(),
            metrics: mean_metrics(&rewards.chunks(size.max(1)).map(metrics).collect::<Vec<_>>()),
        })
    }
}

/// What TRL logs of a micro-batch.
fn metrics(rewards: &[[f64; 2]]) -> Metrics {
    let (all, count) = (rewards.as_flattened(), rewards.len() as f64);
    let mean = |value: &dyn Fn(&[f64; 2]) -> f64| rewards.iter().map(value).sum::<f64>() / count;
    let numbers = [
        ("min_reward", all.iter().copied().fold(f64::INFINITY, f64::min)),
        ("mean_reward", all.iter().sum::<f64>() / all.len() as f64),
        ("max_reward", all.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
        ("accuracy", mean(&|[chosen, rejected]| f64::from(u8::from(chosen > rejected)))),
        ("margin", mean(&|[chosen, rejected]| chosen - rejected)),
    ];
    numbers.into_iter().map(|(name, number)| (name.to_string(), number)).collect()
}

/// A [`Trainer`] of a reward model, to which it dereferences: `train`, `evaluate`, checkpoints and callbacks are that trainer's, and
/// its reports have the metrics by the names of TRL.
#[derive(Debug)]
pub struct RewardTrainer(Trainer<Reward>);

impl Deref for RewardTrainer {
    type Target = Trainer<Reward>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for RewardTrainer {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl RewardTrainer {
    /// A trainer that shares the model's weights with the caller's variable; `eval_pairs` may be empty where the arguments ask for
    /// no evaluation.
    ///
    /// # Errors
    /// When the model has more labels than one, a setting, a pair or a weight cannot work, memory does not suffice, or `output_dir`
    /// holds another run.
    pub fn new(
        model: &SequenceClassifier,
        config: RewardConfig,
        pairs: Vec<PreferencePair>,
        eval_pairs: Vec<PreferencePair>,
    ) -> Result<Self> {
        let RewardConfig { center_rewards_coefficient, arguments } = config;
        let (labels, model, center) = (model.labels().len(), model.model(), center_rewards_coefficient.unwrap_or(0.0));
        check::setting("RewardConfig", "center_rewards_coefficient", center, center >= 0.0 && center.is_finite(), "at least 0")?;
        check::arguments(&arguments, model, "RewardTrainer", "RewardConfig")?;
        if labels != 1 {
            return Err(Error::new(ErrorKind::Model, format!("the model has {labels} labels; a reward is one"))
                .hint("make the model with one label: `SequenceClassifier::new(&base, &[\"reward\"], 0)`"));
        }
        if pairs.is_empty() || arguments.evaluates() && eval_pairs.is_empty() {
            let what = if pairs.is_empty() { "train on" } else { "evaluate, though the arguments ask for it" };
            return Err(Error::new(ErrorKind::Data, format!("there are no pairs to {what}"))
                .hint("load rows with prompt, chosen and rejected, call `tokenize_preferences`, or set eval_steps: 0"));
        }
        let made = |name: &str, pairs: Vec<PreferencePair>| -> Result<Vec<ScoredPair>> {
            let rows = |(index, pair): (usize, &PreferencePair)| -> Result<ScoredPair> {
                let [chosen, rejected] = [&pair.chosen, &pair.rejected].map(|answer| {
                    let ids = [pair.prompt.as_slice(), answer].concat();
                    sequence::check(&format!("{name} {index}"), &ids, model).map(|()| sequence::scored(&ids, 0, model))
                });
                Ok(ScoredPair([chosen?, rejected?]))
            };
            pairs.iter().enumerate().map(rows).collect()
        };
        let (train, eval) = (made("pair", pairs)?, made("evaluation pair", eval_pairs)?);
        weights(model)?;
        Ok(Self(Trainer::with_objective(Reward { center }, model, arguments, train, eval)?))
    }
}
