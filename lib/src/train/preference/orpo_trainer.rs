//! (model, pairs of answers) → a model that prefers the chosen ones, without a reference: TRL's `ORPOTrainer`.

use std::ops::{Deref, DerefMut};

use crate::error::{Error, ErrorKind, Result};
use crate::models::causal::CausalLm;
use crate::train::arguments::settings::TrainingArguments;
use crate::train::preference::check;
use crate::train::preference::objective::PairRows;
use crate::train::preference::orpo::OddsRatio;
use crate::train::preference::pair::PreferencePair;
use crate::train::report::StepReport;
use crate::train::step::training_step;
use crate::train::trainer::Trainer;

/// Settings of [`OrpoTrainer`]; TRL's `ORPOConfig`.
#[derive(Debug, Clone, PartialEq)]
pub struct OrpoConfig {
    /// What the odds ratio counts beside the log probability of the chosen answers, above 0. Default 0.1.
    pub beta: f64,
    /// All that a [`Trainer`] is told, with the default of TRL for learning_rate: 1e-6. A row is a pair. Refused is what
    /// [`crate::train::preference::trainer::DpoConfig`] refuses.
    pub arguments: TrainingArguments,
}

impl Default for OrpoConfig {
    fn default() -> Self {
        Self { beta: 0.1, arguments: TrainingArguments { learning_rate: 1e-6, ..Default::default() } }
    }
}

/// A [`Trainer`] by odds ratios, to which it dereferences: `train`, `evaluate`, checkpoints and callbacks are that trainer's, and
/// its reports have the metrics by the names of TRL.
#[derive(Debug)]
pub struct OrpoTrainer(Trainer<OddsRatio>);

impl Deref for OrpoTrainer {
    type Target = Trainer<OddsRatio>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for OrpoTrainer {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl OrpoTrainer {
    /// A trainer that shares the model's weights with the caller's variable.
    ///
    /// # Errors
    /// When a setting, a pair or a weight cannot work, memory does not suffice, or `output_dir` holds another run.
    pub fn new(model: &CausalLm, config: OrpoConfig, pairs: Vec<PreferencePair>) -> Result<Self> {
        Self::with_eval(model, config, pairs, Vec::new())
    }

    /// [`OrpoTrainer::new`] with pairs for evaluations.
    ///
    /// # Errors
    /// As [`OrpoTrainer::new`].
    pub fn with_eval(model: &CausalLm, config: OrpoConfig, pairs: Vec<PreferencePair>, eval_pairs: Vec<PreferencePair>) -> Result<Self> {
        let OrpoConfig { beta, arguments } = config;
        check::setting("OrpoConfig", "beta", beta, beta > 0.0 && beta.is_finite(), "above 0")?;
        check::arguments(&arguments, model, "OrpoTrainer", "OrpoConfig")?;
        let [pairs, eval_pairs] = check::pair_rows(&[model], &arguments, "OrpoTrainer", [pairs, eval_pairs])?;
        Ok(Self(Trainer::with_objective(OddsRatio { beta }, model, arguments, pairs, eval_pairs)?))
    }

    /// One optimizer step on pairs of your choice.
    ///
    /// # Errors
    /// As [`training_step`]; and when there are no pairs.
    pub fn step_on(&mut self, pairs: &[PreferencePair]) -> Result<&StepReport> {
        if pairs.is_empty() {
            return Err(Error::new(ErrorKind::Data, "a step needs at least one pair").hint("give step_on some pairs"));
        }
        check::pairs("pair", pairs, self.model())?;
        let rows: Vec<PairRows> = pairs.iter().map(PairRows::from).collect();
        let (run, objective) = self.0.parts();
        training_step(run, objective, &rows.iter().collect::<Vec<_>>())
    }
}
