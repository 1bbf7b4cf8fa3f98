//! (model, reference, pairs of answers) → a model that prefers the chosen ones: TRL's `DPOTrainer`.

use std::ops::{Deref, DerefMut};

use crate::error::{Error, ErrorKind, Result};
use crate::models::causal::CausalLm;
use crate::train::arguments::settings::TrainingArguments;
use crate::train::objective::Objective;
use crate::train::preference::check;
use crate::train::preference::loss::{DpoLoss, PairLoss};
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
    /// Share of the pairs that may be the wrong way round, 0 to below 0.5; changes `sigmoid` (to cDPO) and `robust`. Default 0.
    pub label_smoothing: f64,
    /// The losses of a pair, which are added up. Default sigmoid alone.
    pub loss_type: Vec<DpoLoss>,
    /// What each of them counts, at least 0. Default none: 1 each.
    pub loss_weights: Option<Vec<f64>>,
    /// Weight of the chosen answer's mean negative log probability, pair by pair, added to the losses: RPO (Pang et al. 2024).
    /// Default none.
    pub rpo_alpha: Option<f64>,
    /// All that a [`Trainer`] is told, with the default of TRL for learning_rate: 1e-6. A row is a pair. Refused are what would
    /// change another loss: `label_smoothing_factor`, `neftune_noise_alpha`, and accumulation by means.
    pub arguments: TrainingArguments,
}

impl Default for DpoConfig {
    fn default() -> Self {
        Self {
            beta: 0.1,
            label_smoothing: 0.0,
            loss_type: vec![DpoLoss::Sigmoid],
            loss_weights: None,
            rpo_alpha: None,
            arguments: TrainingArguments { learning_rate: 1e-6, ..Default::default() },
        }
    }
}

impl DpoConfig {
    /// What is made of a pair.
    fn loss(&self) -> Result<PairLoss> {
        let Self { beta, label_smoothing, ref loss_type, ref loss_weights, rpo_alpha, .. } = *self;
        let weights = loss_weights.clone().unwrap_or_else(|| vec![1.0; loss_type.len()]);
        let alpha = rpo_alpha.unwrap_or(0.0);
        let (names, counts) =
            (loss_type.iter().map(|kind| kind.name()).collect::<Vec<_>>(), |value: f64| value.is_finite() && value >= 0.0);
        let setting = |field: &str, value: String, fits: bool, allowed: &str| check::setting("DpoConfig", field, value, fits, allowed);
        setting("beta", beta.to_string(), beta > 0.0 && beta.is_finite(), "above 0")?;
        let allowed = "at least 0 and below 0.5";
        setting("label_smoothing", label_smoothing.to_string(), (0.0..0.5).contains(&label_smoothing), allowed)?;
        setting("loss_type", "empty".into(), !names.is_empty(), "one loss at least, such as DpoLoss::Sigmoid")?;
        let allowed = format!("one number for each of the losses {names:?}");
        setting("loss_weights", format!("{weights:?}"), weights.len() == names.len(), &allowed)?;
        let fits = weights.iter().all(|weight| counts(*weight)) && weights.iter().any(|weight| *weight > 0.0);
        setting("loss_weights", format!("{weights:?}"), fits, "at least 0 each, and above 0 for one")?;
        let fits = label_smoothing == 0.0 || loss_type.iter().any(|kind| kind.smooths());
        setting(
            "label_smoothing",
            label_smoothing.to_string(),
            fits,
            &format!("0 with the losses {names:?}: only sigmoid and robust smooth"),
        )?;
        setting("rpo_alpha", alpha.to_string(), counts(alpha), "at least 0")?;
        Ok(PairLoss { beta, label_smoothing, losses: loss_type.iter().copied().zip(weights).collect(), rpo_alpha: alpha })
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
        let (loss, arguments) = (config.loss()?, config.arguments);
        check::arguments(&arguments, model, "DpoTrainer", "DpoConfig")?;
        let reference = check::reference(model, reference)?;
        let [pairs, eval_pairs] = check::pair_rows(&[model, &reference], &arguments, "DpoTrainer", [pairs, eval_pairs])?;
        Ok(Self(Trainer::with_objective(Preference { reference, loss }, model, arguments, pairs, eval_pairs)?))
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
        check::pairs("pair", pairs, self.model())?;
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
        check::pairs("pair", pairs, self.model())?;
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
