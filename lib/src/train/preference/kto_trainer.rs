//! (model, reference, good and bad answers) → a model that prefers the good ones: TRL's `KTOTrainer`.

use std::ops::{Deref, DerefMut};

use crate::error::{Error, ErrorKind, Result};
use crate::models::causal::CausalLm;
use crate::train::arguments::check::refuse;
use crate::train::arguments::settings::{SamplingStrategy, TrainingArguments};
use crate::train::check::weights;
use crate::train::preference::check;
use crate::train::preference::kto::{KahnemanTversky, KtoLoss, UnpairedRow};
use crate::train::preference::unpaired::UnpairedPreference;
use crate::train::report::StepReport;
use crate::train::step::training_step;
use crate::train::trainer::Trainer;

/// Settings of [`KtoTrainer`]; TRL's `KTOConfig`.
#[derive(Debug, Clone, PartialEq)]
pub struct KtoConfig {
    /// The loss. Default kto.
    pub loss_type: KtoLoss,
    /// How strongly the model is held to its reference, above 0. Default 0.1.
    pub beta: f64,
    /// What the loss of a good answer counts, above 0. Default 1.
    pub desirable_weight: f64,
    /// What the loss of a bad answer counts, above 0. Default 1. Where there are many more answers of one kind, the paper
    /// wants the weights to even that out to 1 : 1 up to 4 : 3 in favour of the good ones.
    pub undesirable_weight: f64,
    /// All that a [`Trainer`] is told, with the defaults of TRL for learning_rate, 1e-6, and train_sampling_strategy, sequential.
    /// A row is an answer. Refused is what [`crate::train::preference::trainer::DpoConfig`] refuses, and with the loss kto a
    /// per_device_train_batch_size of 1: what an answer is compared with are the others of its micro-batch.
    pub arguments: TrainingArguments,
}

impl Default for KtoConfig {
    fn default() -> Self {
        let sequential = SamplingStrategy::Sequential;
        Self {
            loss_type: KtoLoss::Kto,
            beta: 0.1,
            desirable_weight: 1.0,
            undesirable_weight: 1.0,
            arguments: TrainingArguments { learning_rate: 1e-6, train_sampling_strategy: sequential, ..Default::default() },
        }
    }
}

/// A [`Trainer`] by good and bad answers, to which it dereferences: `train`, `evaluate`, checkpoints and callbacks are that
/// trainer's, and its reports have the metrics by the names of TRL.
#[derive(Debug)]
pub struct KtoTrainer(Trainer<KahnemanTversky>);

impl Deref for KtoTrainer {
    type Target = Trainer<KahnemanTversky>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for KtoTrainer {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl KtoTrainer {
    /// A trainer that shares the model's weights with the caller's variable; the reference is as in
    /// [`DpoTrainer::new`](crate::train::preference::trainer::DpoTrainer::new).
    ///
    /// # Errors
    /// When a setting, an answer or a weight cannot work, memory does not suffice, or `output_dir` holds another run.
    pub fn new(model: &CausalLm, reference: Option<&CausalLm>, config: KtoConfig, rows: Vec<UnpairedPreference>) -> Result<Self> {
        Self::with_eval(model, reference, config, rows, Vec::new())
    }

    /// [`KtoTrainer::new`] with answers for evaluations.
    ///
    /// # Errors
    /// As [`KtoTrainer::new`].
    pub fn with_eval(
        model: &CausalLm,
        reference: Option<&CausalLm>,
        config: KtoConfig,
        rows: Vec<UnpairedPreference>,
        eval_rows: Vec<UnpairedPreference>,
    ) -> Result<Self> {
        let KtoConfig { loss_type, beta, desirable_weight, undesirable_weight, arguments } = config;
        for (field, value) in [("beta", beta), ("desirable_weight", desirable_weight), ("undesirable_weight", undesirable_weight)] {
            check::setting("KtoConfig", field, value, value > 0.0 && value.is_finite(), "above 0")?;
        }
        check::arguments(&arguments, model, "KtoTrainer", "KtoConfig")?;
        let size = arguments.per_device_train_batch_size;
        if loss_type == KtoLoss::Kto && size < 2 {
            let allowed = "2 or more in a KtoTrainer, which compares the answers of a micro-batch (or loss_type: KtoLoss::ApoZeroUnpaired)";
            return Err(refuse("per_device_train_batch_size", size, allowed));
        }
        if rows.is_empty() {
            return Err(Error::new(ErrorKind::Data, "there are no answers to train on")
                .hint("load rows with prompt, completion and label, and call `tokenize_unpaired`"));
        }
        if arguments.evaluates() && eval_rows.is_empty() {
            return Err(Error::new(ErrorKind::Data, "the arguments ask for evaluations, and there are no answers to evaluate")
                .hint("call `KtoTrainer::with_eval` with some answers, or set eval_steps: 0"));
        }
        let reference = check::reference(model, reference)?;
        for model in [model, &reference] {
            readable("answer", &rows, model)?;
            readable("evaluation answer", &eval_rows, model)?;
            weights(model)?;
        }
        let made = |rows: Vec<UnpairedPreference>| rows.iter().map(UnpairedRow::from).collect();
        let objective = KahnemanTversky { reference, loss_type, beta, desirable_weight, undesirable_weight };
        Ok(Self(Trainer::with_objective(objective, model, arguments, made(rows), made(eval_rows))?))
    }

    /// One optimizer step on answers of your choice.
    ///
    /// # Errors
    /// As [`training_step`]; and when there are none.
    pub fn step_on(&mut self, rows: &[UnpairedPreference]) -> Result<&StepReport> {
        if rows.is_empty() {
            return Err(Error::new(ErrorKind::Data, "a step needs at least one answer").hint("give step_on some answers"));
        }
        readable("answer", rows, self.model())?;
        let rows: Vec<UnpairedRow> = rows.iter().map(UnpairedRow::from).collect();
        let (run, objective) = self.0.parts();
        training_step(run, objective, &rows.iter().collect::<Vec<_>>())
    }
}

fn readable(name: &str, rows: &[UnpairedPreference], model: &CausalLm) -> Result<()> {
    for (index, UnpairedPreference { prompt, completion, .. }) in rows.iter().enumerate() {
        let (parts, length) = ([("prompt", prompt), ("completion", completion)], prompt.len() + completion.len());
        check::readable(&format!("{name} {index}"), &parts, length, "tokenize_unpaired", model)?;
    }
    Ok(())
}
