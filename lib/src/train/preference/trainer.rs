//! (model, reference, pairs of answers) → a model that prefers the chosen ones: TRL's `DPOTrainer`.

use std::ops::{Deref, DerefMut};

use crate::error::{Error, ErrorKind, Result};
use crate::models::causal::CausalLm;
use crate::nn::lora::{is_adapter, is_factor};
use crate::train::arguments::check::refuse;
use crate::train::arguments::settings::{Accumulation, TrainingArguments};
use crate::train::check;
use crate::train::objective::Objective;
use crate::train::preference::objective::{PairRows, Preference};
use crate::train::preference::pair::PreferencePair;
use crate::train::report::{Metrics, StepReport};
use crate::train::step::training_step;
use crate::train::trainer::Trainer;

/// Settings of preference training; TRL's `DPOConfig`.
#[derive(Debug, Clone, PartialEq)]
pub struct DpoConfig {
    /// How strongly the model is held to its reference, above 0. Default 0.1.
    pub beta: f64,
    /// Share of the pairs that may be the wrong way round, 0 to below 0.5; smooths as the DPO authors' code does. Default 0.
    pub label_smoothing: f64,
    /// All that a [`Trainer`] is told, with the default of TRL for learning_rate: 1e-6. A row is a pair. Refused are what would
    /// change another loss: `label_smoothing_factor`, `neftune_noise_alpha`, and accumulation by means.
    pub arguments: TrainingArguments,
}

impl Default for DpoConfig {
    fn default() -> Self {
        Self { beta: 0.1, label_smoothing: 0.0, arguments: TrainingArguments { learning_rate: 1e-6, ..Default::default() } }
    }
}

/// What the model thinks of some pairs, as TRL logs it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preferences {
    /// Mean loss of a pair.
    pub loss: f64,
    /// Mean of `β · (log p − log p_ref)` of the chosen answers.
    pub rewards_chosen: f64,
    /// The same of the rejected ones.
    pub rewards_rejected: f64,
    /// Mean of the differences.
    pub rewards_margins: f64,
    /// Share of the pairs whose chosen answer has the higher reward.
    pub rewards_accuracies: f64,
}

impl Preferences {
    fn new(loss: f64, metrics: &Metrics) -> Self {
        let number = |name: &str| metrics.get(name).copied().unwrap_or(f64::NAN);
        Self {
            loss,
            rewards_chosen: number("rewards/chosen"),
            rewards_rejected: number("rewards/rejected"),
            rewards_margins: number("rewards/margins"),
            rewards_accuracies: number("rewards/accuracies"),
        }
    }
}

/// A [`StepReport`] of preference training, its metrics as fields.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct DpoReport {
    /// Counted from 1.
    pub step: usize,
    /// The pairs of the step, before it.
    pub preferences: Preferences,
    /// Norm of the gradient before the clip.
    pub grad_norm: f64,
    /// The rate after the step.
    pub learning_rate: f64,
    /// Ids of all rows.
    pub tokens: usize,
    /// Wall time.
    pub seconds: f64,
}

impl From<&StepReport> for DpoReport {
    fn from(report: &StepReport) -> Self {
        let StepReport { step, loss, grad_norm, learning_rate, tokens, seconds, ref metrics, .. } = *report;
        Self { step, preferences: Preferences::new(loss, metrics), grad_norm, learning_rate, tokens, seconds }
    }
}

/// A [`Trainer`] of preferences: its loop, checkpoints, evaluations and callbacks are that trainer's, which this one
/// dereferences to. After an interrupt or an error, `train` goes on where it stopped.
#[derive(Debug)]
pub struct DpoTrainer(Trainer<Preference>);

impl Deref for DpoTrainer {
    type Target = Trainer<Preference>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for DpoTrainer {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl DpoTrainer {
    /// A trainer that shares the model's weights with the caller's variable. Without a reference it is the model as it is
    /// now: the weights below a fresh adapter, which cost no memory, else a copy. A run that goes on from a checkpoint needs the
    /// same reference: make its trainer with the model that the run began with.
    ///
    /// # Errors
    /// When a setting, a pair or a weight cannot work, memory does not suffice, or `output_dir` holds another run.
    pub fn new(model: &CausalLm, reference: Option<&CausalLm>, config: DpoConfig, pairs: Vec<PreferencePair>) -> Result<Self> {
        Self::with_eval(model, reference, config, pairs, Vec::new())
    }

    /// [`DpoTrainer::new`] with pairs for evaluations, which log `eval_loss`, `eval_rewards/accuracies` and their like.
    ///
    /// # Errors
    /// As [`DpoTrainer::new`].
    pub fn with_eval(
        model: &CausalLm,
        reference: Option<&CausalLm>,
        config: DpoConfig,
        pairs: Vec<PreferencePair>,
        eval_pairs: Vec<PreferencePair>,
    ) -> Result<Self> {
        let DpoConfig { beta, label_smoothing, arguments } = config;
        check::arguments(&arguments, model)?;
        refuse_arguments(&arguments)?;
        for (field, value, fits, allowed) in [
            ("beta", beta, beta > 0.0 && beta.is_finite(), "above 0"),
            ("label_smoothing", label_smoothing, (0.0..0.5).contains(&label_smoothing), "at least 0 and below 0.5"),
        ] {
            if !fits {
                return Err(Error::new(ErrorKind::Training, format!("DpoConfig: {field} is {value}; it must be {allowed}"))
                    .hint(format!("change `{field}` in the cell that makes the DpoConfig")));
            }
        }
        if pairs.is_empty() {
            return Err(Error::new(ErrorKind::Data, "there are no pairs to train on")
                .hint("load rows with prompt, chosen and rejected, and call `tokenize_preferences`"));
        }
        if arguments.evaluates() && eval_pairs.is_empty() {
            return Err(Error::new(ErrorKind::Data, "the arguments ask for evaluations, and there are no pairs to evaluate")
                .hint("call `DpoTrainer::with_eval` with some pairs, or set eval_steps: 0"));
        }
        let reference = match reference {
            Some(reference) => reference.clone(),
            None if fresh_adapter(model)? => model.without_adapter(),
            None => model.deep_clone()?,
        };
        for model in [model, &reference] {
            check_pairs("pair", &pairs, model)?;
            check_pairs("evaluation pair", &eval_pairs, model)?;
            check::weights(model)?;
        }
        let (pairs, eval_pairs) = (differing("pairs", pairs, true)?, differing("evaluation pairs", eval_pairs, arguments.evaluates())?);
        let rows = |pairs: Vec<PreferencePair>| pairs.iter().map(PairRows::from).collect();
        let objective = Preference { reference, beta, label_smoothing };
        Ok(Self(Trainer::with_objective(objective, model, arguments, rows(pairs), rows(eval_pairs))?))
    }

    /// One optimizer step on the next pairs of the epoch's order.
    ///
    /// # Errors
    /// As [`training_step`].
    pub fn step(&mut self) -> Result<DpoReport> {
        self.0.step().map(DpoReport::from)
    }

    /// One optimizer step on pairs of your choice.
    ///
    /// # Errors
    /// As [`training_step`]; and when there are no pairs.
    pub fn step_on(&mut self, pairs: &[PreferencePair]) -> Result<DpoReport> {
        if pairs.is_empty() {
            return Err(Error::new(ErrorKind::Data, "a step needs at least one pair").hint("give step_on some pairs"));
        }
        check_pairs("pair", pairs, self.model())?;
        let rows: Vec<PairRows> = pairs.iter().map(PairRows::from).collect();
        let (run, objective) = self.0.parts();
        training_step(run, objective, &rows.iter().collect::<Vec<_>>()).map(DpoReport::from)
    }

    /// What the model thinks of pairs, dropout off.
    ///
    /// # Errors
    /// When there are none, or one is none that the model can read.
    pub fn evaluate(&self, pairs: &[PreferencePair]) -> Result<Preferences> {
        if pairs.is_empty() {
            return Err(Error::new(ErrorKind::Data, "there are no pairs to evaluate").hint("give evaluate some pairs"));
        }
        check_pairs("pair", pairs, self.model())?;
        let rows: Vec<PairRows> = pairs.iter().map(PairRows::from).collect();
        let model = self.model().autocast(self.arguments().product_type());
        let report = self.0.objective().evaluate(&model, &rows, self.arguments())?;
        Ok(Preferences::new(report.loss, &report.metrics))
    }

    /// All steps so far; `trainer.state()` has the same in its logs.
    pub fn history(&self) -> Vec<DpoReport> {
        self.0.history().iter().map(DpoReport::from).collect()
    }
}

/// The pairs whose answers differ, after the cut as well: equal ones stay at a loss of ln 2 for ever. They are left out, aloud.
fn differing(name: &str, mut pairs: Vec<PreferencePair>, needed: bool) -> Result<Vec<PreferencePair>> {
    let all = pairs.len();
    pairs.retain(|pair| pair.chosen != pair.rejected);
    if needed && pairs.is_empty() {
        let message = format!("chosen and rejected are the same in each of the {all} {name}: there is nothing to prefer");
        return Err(Error::new(ErrorKind::Data, message)
            .hint("give pairs whose answers differ, or raise max_length so that the difference is not cut off"));
    }
    if pairs.len() < all {
        println!("{} of {all} {name} are left out (chosen and rejected are the same)", all - pairs.len());
    }
    Ok(pairs)
}

/// Refuses arguments that would change another loss than this one.
fn refuse_arguments(arguments: &TrainingArguments) -> Result<()> {
    let smoothing = arguments.label_smoothing_factor;
    if smoothing != 0.0 {
        return Err(refuse("label_smoothing_factor", smoothing, "0 in a DpoTrainer, which smooths by label_smoothing of its DpoConfig"));
    }
    if let Some(alpha) = arguments.neftune_noise_alpha.filter(|alpha| *alpha > 0.0) {
        return Err(refuse("neftune_noise_alpha", alpha, "none in a DpoTrainer: the reference reads without noise"));
    }
    if arguments.accumulation == Accumulation::Means {
        return Err(refuse("accumulation", "Means", "Tokens in a DpoTrainer, whose loss is a mean over the pairs of a step"));
    }
    Ok(())
}

/// Whether an adapter changes nothing yet, so that the weights below are the model as it is now.
fn fresh_adapter(model: &CausalLm) -> Result<bool> {
    let mut largest = 0f32;
    for (_, parameter) in model.weights().iter().filter(|(name, _)| name.ends_with("lora_B.weight")) {
        largest = largest.max(parameter.detached().abs()?.max_all()?.to_scalar::<f32>()?);
    }
    // A copy of a bias or a module, or a length of a row, may have been trained.
    let factors_alone = model.weights().iter().filter(|(name, _)| is_adapter(name)).all(|(name, _)| is_factor(name));
    Ok(model.lora().is_some() && factors_alone && largest == 0.0)
}

/// Refuses pairs that the model cannot read; an empty prompt or answer would leave its row without a loss.
fn check_pairs(name: &str, pairs: &[PreferencePair], model: &CausalLm) -> Result<()> {
    let (vocabulary, positions) = (model.config().vocab_size(), model.config().max_position_embeddings());
    for (index, pair) in pairs.iter().enumerate() {
        let refuse = |reason: String, hint: &str| Err(Error::new(ErrorKind::Data, format!("{name} {index}: {reason}")).hint(hint));
        for (name, ids) in [("prompt", &pair.prompt), ("chosen", &pair.chosen), ("rejected", &pair.rejected)] {
            if ids.is_empty() {
                return refuse(format!("`{name}` has no ids; it needs at least one"), "remove the pair, or write the text");
            }
            if let Some(id) = ids.iter().find(|&&id| id as usize >= vocabulary) {
                let reason = format!("`{name}`: token id {id} is outside of the model's vocabulary of {vocabulary}");
                return refuse(reason, "load tokenizer, model and reference by the same name");
            }
        }
        let longest = pair.prompt.len() + pair.chosen.len().max(pair.rejected.len());
        if longest > positions + 1 {
            let reason = format!("{longest} tokens, the model has {positions} positions");
            return refuse(reason, &format!("give tokenize_preferences a max_length of {positions}"));
        }
    }
    Ok(())
}

impl std::fmt::Display for DpoReport {
    /// The line that TRL logs.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Preferences { loss, rewards_chosen, rewards_rejected, rewards_margins, rewards_accuracies } = self.preferences;
        write!(
            formatter,
            "{{'loss': {loss:.4}, 'grad_norm': {:.4}, 'learning_rate': {:.3e}, 'rewards/chosen': {rewards_chosen:.4}, 'rewards/rejected': {rewards_rejected:.4}, 'rewards/accuracies': {rewards_accuracies:.2}, 'rewards/margins': {rewards_margins:.4}}}",
            self.grad_norm, self.learning_rate
        )
    }
}
