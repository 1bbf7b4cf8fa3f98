//! (model, reference, pairs of answers) → a model that prefers the chosen ones: direct preference optimization.
//!
//! Rafailov et al. 2023; names and defaults are those of TRL's `DPOTrainer`. With `log p` the sum over an answer's ids, the
//! margin of a pair is `β · ((log p − log p_ref)(chosen) − (log p − log p_ref)(rejected))` and its loss `−log σ(margin)`.
//! The loss depends on the model through the two sums alone, so its gradient is that of a weighted cross entropy.

use std::path::Path;
use std::time::Instant;

use crate::error::{Error, ErrorKind, Result};
use crate::models::causal::CausalLm;
use crate::models::decoder::Lesson;
use crate::optim::optimizer::{Optimizer, gradient_norm};
use crate::tokenizer::encode::Tokens;
use crate::train::arguments::check::refuse;
use crate::train::arguments::settings::{SamplingStrategy, TrainingArguments};
use crate::train::batch::{Batch, epoch_order};
use crate::train::evaluation::check_weights;
use crate::train::preference::pair::PreferencePair;
use crate::train::step::GROUP;
use crate::util::interrupt;

/// Settings of preference training; TRL's `DPOConfig`.
#[derive(Debug, Clone, PartialEq)]
pub struct DpoConfig {
    /// How strongly the model is held to its reference, above 0. Default 0.1.
    pub beta: f64,
    /// Share of the pairs that may be the wrong way round, 0 to below 0.5; smooths as the DPO authors' code does. Default 0.
    pub label_smoothing: f64,
    /// Steps, batches, order, seeds, learning rate (TRL: 1e-6), clip, schedule, optimizer, gradient checkpointing and
    /// logging_steps. All other fields are not used: the caller evaluates and saves.
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

/// One optimizer step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DpoReport {
    /// Counted from 1.
    pub step: usize,
    /// The pairs of the step, before it.
    pub preferences: Preferences,
    /// Norm of the gradient before the clip.
    pub grad_norm: f64,
    /// The rate that the step used.
    pub learning_rate: f64,
    /// Ids of all rows.
    pub tokens: usize,
    /// Wall time.
    pub seconds: f64,
}

/// Sums of log probabilities of the two answers of a pair.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogProbabilities {
    /// Of the chosen answer.
    pub chosen: f64,
    /// Of the rejected answer.
    pub rejected: f64,
}

/// Trains a model in place. After an interrupt or an error, `train` goes on where it stopped.
#[derive(Debug)]
pub struct DpoTrainer {
    model: CausalLm,
    reference: CausalLm,
    config: DpoConfig,
    pairs: Vec<PreferencePair>,
    /// What the reference says of each pair, once it was asked.
    known: Vec<Option<LogProbabilities>>,
    optimizer: Optimizer,
    history: Vec<DpoReport>,
}

impl DpoTrainer {
    /// A trainer that shares the model's weights with the caller's variable. Without a reference it is the model as it is
    /// now: the weights below a fresh adapter, which cost no memory, else a copy.
    pub fn new(model: &CausalLm, reference: Option<&CausalLm>, config: DpoConfig, pairs: Vec<PreferencePair>) -> Result<Self> {
        config.arguments.validate()?;
        config.arguments.check_backend(model.backend())?;
        if config.arguments.fp16 {
            return Err(refuse("fp16", true, "false in a DpoTrainer, which does not scale its loss; bf16 is possible"));
        }
        for (field, value, fits, allowed) in [
            ("beta", config.beta, config.beta > 0.0 && config.beta.is_finite(), "above 0"),
            ("label_smoothing", config.label_smoothing, (0.0..0.5).contains(&config.label_smoothing), "at least 0 and below 0.5"),
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
        model.check_trainable()?;
        let reference = match reference {
            Some(reference) => reference.clone(),
            None if fresh_adapter(model)? => model.without_adapter(),
            None => model.deep_clone()?,
        };
        for model in [model, &reference] {
            check_pairs(&pairs, model)?;
            check_weights(model)?;
        }
        Ok(Self {
            optimizer: Optimizer::new(config.arguments.optimizer_settings(), model.backend(), model.weights())?,
            known: vec![None; pairs.len()],
            model: model.clone(),
            reference,
            config,
            pairs,
            history: Vec::new(),
        })
    }

    /// Trains to the last step; prints a line every `logging_steps` unless `disable_tqdm`.
    pub fn train(&mut self) -> Result<&[DpoReport]> {
        let total = self.total_steps();
        while self.history.len() < total {
            interrupt::check(format_args!("after step {} of {total}; `train` goes on from there", self.history.len()))?;
            let every = self.config.arguments.logging_steps;
            let report = *self.step()?;
            if !self.config.arguments.disable_tqdm && report.step.is_multiple_of(every) {
                println!("{report}");
            }
        }
        Ok(&self.history)
    }

    /// One optimizer step on the next pairs of the epoch's order.
    pub fn step(&mut self) -> Result<&DpoReport> {
        let (step, per_epoch, size) = (self.history.len(), self.steps_per_epoch(), self.pairs_per_step());
        let arguments = &self.config.arguments;
        let rows: Vec<Tokens> = self.pairs.iter().map(|pair| pair.rows()[0].clone()).collect();
        let (rows_at_once, seed) = (arguments.per_device_train_batch_size, arguments.data_seed.unwrap_or(arguments.seed));
        let order = match arguments.train_sampling_strategy {
            SamplingStrategy::Sequential => (0..rows.len()).collect(),
            _ => epoch_order(&rows, rows_at_once, arguments.groups_by_length(), seed, step / per_epoch),
        };
        let start = step % per_epoch * size;
        let indices = order[start..(start + size).min(order.len())].to_vec();
        let unknown: Vec<usize> = indices.iter().copied().filter(|&index| self.known[index].is_none()).collect();
        let asked: Vec<PreferencePair> = unknown.iter().map(|&index| self.pairs[index].clone()).collect();
        for (index, sums) in
            unknown.into_iter().zip(log_probabilities(&self.reference.autocast(self.config.arguments.product_type()), &asked)?)
        {
            self.known[index] = Some(sums);
        }
        let pairs: Vec<PreferencePair> = indices.iter().map(|&index| self.pairs[index].clone()).collect();
        let reference: Vec<LogProbabilities> = indices.iter().filter_map(|&index| self.known[index]).collect();
        self.update(&pairs, &reference)
    }

    /// One optimizer step on pairs of your choice.
    pub fn step_on(&mut self, pairs: &[PreferencePair]) -> Result<&DpoReport> {
        if pairs.is_empty() {
            return Err(Error::new(ErrorKind::Data, "a step needs at least one pair").hint("give step_on some pairs"));
        }
        check_pairs(pairs, &self.model)?;
        let reference = log_probabilities(&self.reference.autocast(self.config.arguments.product_type()), pairs)?;
        self.update(pairs, &reference)
    }

    fn update(&mut self, pairs: &[PreferencePair], reference: &[LogProbabilities]) -> Result<&DpoReport> {
        let (started, step, arguments) = (Instant::now(), self.history.len(), &self.config.arguments);
        self.model.set_seed(arguments.seed.wrapping_add((step as u64) << 20));
        // What a step that failed has left.
        self.model.weights().iter().for_each(|(_, parameter)| parameter.recycle(parameter.take_gradient()));
        let model = self.model.autocast(arguments.product_type());
        let policy = log_probabilities(&model, pairs)?;
        let preferences = preferences(&policy, reference, &self.config);
        let mut batches = Vec::with_capacity(pairs.len());
        for (pair, (policy, reference)) in pairs.iter().zip(policy.iter().zip(reference)) {
            // The loss of a row is −log p, hence the signs.
            let slope = self.config.slope(margin(*policy, *reference, self.config.beta)) * self.config.beta / pairs.len() as f64;
            for (row, weight) in pair.rows().iter().zip([-slope, slope]) {
                let mut batch = Batch::new(&[row], true);
                batch.weights.iter_mut().for_each(|own| *own *= weight as f32);
                batches.push(batch);
            }
        }
        for batch in Batch::regroup(&batches, GROUP) {
            interrupt::check(format_args!("in step {}; `train` goes on from the step's start", step + 1))?;
            let lesson = Lesson { checkpointing: arguments.gradient_checkpointing, ..batch.lesson() };
            model.backward(lesson)?;
        }
        let norm = self.model.pool().run(|| gradient_norm(self.model.weights()))?;
        if !norm.is_finite() || !preferences.loss.is_finite() {
            let message = format!(
                "step {}: the loss is {} and the gradient norm {norm}; the weights are as after step {step}",
                step + 1,
                preferences.loss
            );
            return Err(Error::new(ErrorKind::Training, message).hint("lower learning_rate or beta, or raise warmup_steps"));
        }
        let clip = if arguments.max_grad_norm > 0.0 { (arguments.max_grad_norm / (norm + 1e-6)).min(1.0) } else { 1.0 };
        let rate = arguments.rate_plan(self.total_steps()).rate(step);
        self.model.pool().run(|| self.optimizer.step(self.model.weights(), rate, clip as f32))?;
        let tokens = pairs.iter().map(PreferencePair::tokens).sum();
        let seconds = started.elapsed().as_secs_f64();
        self.history.push(DpoReport { step: step + 1, preferences, grad_norm: norm, learning_rate: rate, tokens, seconds });
        Ok(&self.history[step])
    }

    /// What the model thinks of pairs, dropout off.
    pub fn evaluate(&self, pairs: &[PreferencePair]) -> Result<Preferences> {
        if pairs.is_empty() {
            return Err(Error::new(ErrorKind::Data, "there are no pairs to evaluate").hint("give evaluate some pairs"));
        }
        check_pairs(pairs, &self.model)?;
        let [policy, reference] =
            [&self.model, &self.reference].map(|model| log_probabilities(&model.autocast(self.config.arguments.product_type()), pairs));
        Ok(preferences(&policy?, &reference?, &self.config))
    }

    /// Writes the model, or its adapter, as [`CausalLm::save_pretrained`] does.
    pub fn save_model(&self, folder: impl AsRef<Path>) -> Result<()> {
        self.model.save_pretrained(folder)
    }

    /// The model in training.
    pub fn model(&self) -> &CausalLm {
        &self.model
    }

    /// All steps so far.
    pub fn history(&self) -> &[DpoReport] {
        &self.history
    }

    fn pairs_per_step(&self) -> usize {
        self.config.arguments.per_device_train_batch_size * self.config.arguments.gradient_accumulation_steps
    }

    fn steps_per_epoch(&self) -> usize {
        self.pairs.len().div_ceil(self.pairs_per_step())
    }

    /// Steps of the whole run.
    pub fn total_steps(&self) -> usize {
        match self.config.arguments.max_steps {
            -1 => ((self.config.arguments.num_train_epochs * self.steps_per_epoch() as f64).ceil() as usize).max(1),
            steps => steps.max(0) as usize,
        }
    }
}

impl DpoConfig {
    fn loss(&self, margin: f64) -> f64 {
        (1.0 - self.label_smoothing) * softplus(-margin) + self.label_smoothing * softplus(margin)
    }

    /// The derivative of [`DpoConfig::loss`] by the margin.
    fn slope(&self, margin: f64) -> f64 {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        self.label_smoothing * sigmoid(margin) - (1.0 - self.label_smoothing) * sigmoid(-margin)
    }
}

/// `log(1 + e^x) = −log σ(−x)`, without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

fn margin(policy: LogProbabilities, reference: LogProbabilities, beta: f64) -> f64 {
    beta * ((policy.chosen - reference.chosen) - (policy.rejected - reference.rejected))
}

fn preferences(policy: &[LogProbabilities], reference: &[LogProbabilities], config: &DpoConfig) -> Preferences {
    let pairs: Vec<(LogProbabilities, LogProbabilities)> = policy.iter().copied().zip(reference.iter().copied()).collect();
    let mean = |value: &dyn Fn(LogProbabilities, LogProbabilities) -> f64| {
        pairs.iter().map(|&(policy, reference)| value(policy, reference)).sum::<f64>() / pairs.len().max(1) as f64
    };
    let margin = |policy, reference| margin(policy, reference, config.beta);
    Preferences {
        loss: mean(&|policy, reference| config.loss(margin(policy, reference))),
        rewards_chosen: mean(&|policy, reference| config.beta * (policy.chosen - reference.chosen)),
        rewards_rejected: mean(&|policy, reference| config.beta * (policy.rejected - reference.rejected)),
        rewards_margins: mean(&margin),
        rewards_accuracies: mean(&|policy, reference| f64::from(u8::from(margin(policy, reference) > 0.0))),
    }
}

/// The sums of the answers' log probabilities under a model, dropout off.
pub fn log_probabilities(model: &CausalLm, pairs: &[PreferencePair]) -> Result<Vec<LogProbabilities>> {
    let batches: Vec<Batch> = pairs.iter().flat_map(PreferencePair::rows).map(|row| Batch::new(&[&row], true)).collect();
    let mut sums = Vec::with_capacity(batches.len());
    for batch in Batch::regroup(&batches, GROUP) {
        interrupt::check("while answers were scored; nothing was changed")?;
        let losses = model.losses(&batch.inputs, &batch.lengths, batch.targets(0.0))?;
        let mut rest = losses.as_slice();
        for &length in &batch.lengths {
            let (row, after) = rest.split_at(length);
            sums.push(-row.iter().map(|loss| f64::from(*loss)).sum::<f64>());
            rest = after;
        }
    }
    Ok(sums.chunks_exact(2).map(|pair| LogProbabilities { chosen: pair[0], rejected: pair[1] }).collect())
}

/// Whether an adapter changes nothing yet, so that the weights below are the model as it is now.
fn fresh_adapter(model: &CausalLm) -> Result<bool> {
    let mut largest = 0f32;
    for (_, parameter) in model.weights().iter().filter(|(name, _)| name.ends_with("lora_B.weight")) {
        largest = largest.max(parameter.detached().abs()?.max_all()?.to_scalar::<f32>()?);
    }
    Ok(model.lora().is_some() && largest == 0.0)
}

/// Refuses pairs that the model cannot read; an empty prompt or answer would leave its row without a loss.
fn check_pairs(pairs: &[PreferencePair], model: &CausalLm) -> Result<()> {
    let (vocabulary, positions) = (model.config().vocab_size(), model.config().max_position_embeddings());
    for (index, pair) in pairs.iter().enumerate() {
        let refuse = |reason: String, hint: &str| Err(Error::new(ErrorKind::Data, format!("pair {index}: {reason}")).hint(hint));
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
