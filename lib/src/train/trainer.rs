//! (model, arguments, training rows, test rows) → a trained model: the loop of transformers' `Trainer`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use candle_core::{DType, Device, Tensor};

use crate::display::{LiveDisplay, in_our_kernel, show};
use crate::error::{Error, ErrorKind, Result};
use crate::interrupt;
use crate::model::causal::CausalLm;
use crate::model::decoder::Lesson;
use crate::model::head::Targets;
use crate::model::simd::keep_memory;
use crate::tokenizer::encode::{TokenizedDataset, Tokens};
use crate::train::arguments::{Accumulation, TrainingArguments};
use crate::train::batch::{Batch, epoch_order};
use crate::train::checkpoint;
use crate::train::curve::{LossCurve, StepReport};
use crate::train::optimizer::{Optimizer, OptimizerSettings, gradient_norm};

/// Input ids of a step that are computed together: enough for all threads, few enough for the caches.
pub(crate) const GROUP: usize = 512;

/// Trains a model in place. After an interrupt or an error, `train` goes on where it stopped.
#[derive(Debug)]
pub struct Trainer {
    model: CausalLm,
    arguments: TrainingArguments,
    train_rows: TokenizedDataset,
    eval_rows: TokenizedDataset,
    optimizer: Optimizer,
    history: Vec<StepReport>,
    best: Option<(f64, PathBuf)>,
    /// The row order of one epoch, made when it is first needed.
    order: (usize, Vec<usize>),
}

/// What a run did, as `trainer.train()` reports it.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainOutput {
    /// Optimizer steps.
    pub global_step: usize,
    /// Mean of the steps' losses.
    pub training_loss: f64,
    /// Passes over the training rows.
    pub epoch: f64,
    /// Seconds of training.
    pub train_runtime: f64,
    /// Input tokens a second.
    pub train_tokens_per_second: f64,
    /// `6 · tokens · non-embedding parameters`.
    pub total_flos: f64,
}

/// Loss on held-out rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EvalReport {
    /// Mean loss of a predicted token, in nats.
    pub loss: f64,
    /// Predicted tokens.
    pub tokens: usize,
}

impl EvalReport {
    /// `e^loss`.
    pub fn perplexity(&self) -> f64 {
        self.loss.exp()
    }
}

impl Trainer {
    /// A trainer that shares the model's weights with the caller's variable.
    pub fn new(
        model: &CausalLm,
        arguments: TrainingArguments,
        train_dataset: TokenizedDataset,
        eval_dataset: TokenizedDataset,
    ) -> Result<Self> {
        arguments.validate()?;
        model.check_trainable()?;
        for (name, rows, needed) in [("train_dataset", &train_dataset, true), ("eval_dataset", &eval_dataset, arguments.eval_steps > 0)] {
            check_rows(name, rows, needed, model)?;
        }
        if !arguments.overwrite_output_dir && arguments.save_steps > 0 && !checkpoint::list(&arguments.output_dir).is_empty() {
            return Err(Error::new(ErrorKind::Training, format!("`{}` already holds checkpoints", arguments.output_dir.display()))
                .hint("choose another output_dir, set overwrite_output_dir: true, or go on with `trainer.resume(\"<folder>\")`"));
        }
        let settings = OptimizerSettings { kind: arguments.optim, weight_decay: arguments.weight_decay, ..Default::default() };
        let optimizer = Optimizer::new(settings, model.weights());
        Ok(Self {
            model: model.clone(),
            arguments,
            train_rows: train_dataset,
            eval_rows: eval_dataset,
            optimizer,
            history: Vec::new(),
            best: None,
            order: (usize::MAX, Vec::new()),
        })
    }

    /// Trains to the last step, with a live loss curve in our kernel and log lines elsewhere.
    pub fn train(&mut self) -> Result<TrainOutput> {
        let total_steps = self.total_steps();
        let live = in_our_kernel() && !self.arguments.disable_tqdm;
        keep_memory(true);
        let result = self.train_on(total_steps, live);
        keep_memory(false);
        result
    }

    fn train_on(&mut self, total_steps: usize, live: bool) -> Result<TrainOutput> {
        let mut display = LiveDisplay::new();
        let mut drawn = Instant::now() - Duration::from_secs(1);
        while self.history.len() < total_steps {
            interrupt::check(format_args!("after step {} of {total_steps}; `train` goes on from there", self.history.len()))?;
            self.step()?;
            self.evaluate_and_save()?;
            if live && drawn.elapsed() > Duration::from_millis(250) {
                display.update(&LossCurve { history: self.history.clone(), total_steps });
                drawn = Instant::now();
            } else if !live && self.history.len().is_multiple_of(self.arguments.logging_steps) {
                self.log();
            }
        }
        if live {
            display.update(&LossCurve { history: self.history.clone(), total_steps });
        }
        if let (true, Some((loss, folder))) = (self.arguments.load_best_model_at_end, &self.best) {
            self.model.load_weights(folder)?;
            println!("best model: {} with eval_loss {loss:.4}", folder.display());
        }
        Ok(self.output())
    }

    /// One optimizer step on the next rows of the epoch's order.
    pub fn step(&mut self) -> Result<&StepReport> {
        let batches = self.micro_batches(self.history.len());
        self.update(batches)
    }

    /// One optimizer step on rows of your choice, cut into micro-batches.
    pub fn step_on(&mut self, rows: &[Tokens]) -> Result<&StepReport> {
        let batch = |rows: &[Tokens]| Batch::new(&rows.iter().collect::<Vec<_>>(), self.arguments.completion_only_loss);
        let batches: Vec<Batch> = rows.chunks(self.arguments.per_device_train_batch_size).map(batch).collect();
        self.update(batches)
    }

    /// Micro-batches → summed gradients → clip → update; the report is added to the history.
    fn update(&mut self, batches: Vec<Batch>) -> Result<&StepReport> {
        let started = Instant::now();
        pass_ids(&self.model)?;
        let step = self.history.len();
        self.model.set_seed(self.arguments.seed.wrapping_add((step as u64) << 20));
        // What a step that failed has left.
        self.model.weights().iter().for_each(|(_, parameter)| parameter.recycle(parameter.take_gradient()));
        let tokens = batches.iter().map(|batch| batch.tokens).sum();
        let batches = match self.arguments.accumulation {
            Accumulation::Tokens => Batch::regroup(&batches, GROUP),
            Accumulation::Means => batches,
        };
        let (mut loss, mut share) = (0.0, 0.0);
        for batch in &batches {
            interrupt::check(format_args!("in step {}; `train` goes on from the step's start", step + 1))?;
            let predicted = batch.predicted();
            let (sum, part) = match self.arguments.accumulation {
                Accumulation::Tokens => (self.backward(batch, 1.0)?, predicted),
                Accumulation::Means => (self.backward(batch, 1.0 / predicted.max(1.0))?, 1.0),
            };
            loss += sum;
            share += part;
        }
        let share = f64::max(share, 1.0);
        let norm = gradient_norm(self.model.weights())? / share;
        if !norm.is_finite() || !loss.is_finite() {
            return Err(Error::new(
                ErrorKind::Training,
                format!("step {}: the loss is {loss} and the gradient norm {norm}; the weights are as after step {step}", step + 1),
            )
            .hint("lower learning_rate, or raise warmup_steps"));
        }
        let (base, schedule, warmup, total) =
            (self.arguments.learning_rate, self.arguments.lr_scheduler_type, self.arguments.warmup_steps, self.total_steps());
        let rate = |step: usize| base * schedule.factor(step, warmup, total);
        let clip = match self.arguments.max_grad_norm {
            limit if limit > 0.0 => (limit / (norm + 1e-6)).min(1.0),
            _ => 1.0,
        };
        let before = Instant::now();
        self.optimizer.step(self.model.weights(), rate(step), (clip / share) as f32)?;
        let optimizer_seconds = before.elapsed().as_secs_f64();
        self.history.push(StepReport {
            step: step + 1,
            epoch: (step + 1) as f64 / self.steps_per_epoch() as f64,
            loss: loss / share,
            learning_rate: rate(step + 1),
            grad_norm: norm,
            tokens,
            seconds: started.elapsed().as_secs_f64(),
            optimizer_seconds,
            eval_loss: None,
        });
        Ok(&self.history[step])
    }

    /// Adds a micro-batch's gradients of `scale · summed loss`; returns that loss.
    fn backward(&self, batch: &Batch, scale: f64) -> Result<f64> {
        let weights: Vec<f32> = batch.weights.iter().map(|weight| weight * scale as f32).collect();
        let targets = Targets { weights: &weights, ..batch.targets(0.0) };
        self.model.backward(Lesson { targets, checkpointing: self.arguments.gradient_checkpointing, ..batch.lesson() })
    }

    fn evaluate_and_save(&mut self) -> Result<()> {
        let step = self.history.len();
        let due = |every: usize| every > 0 && step.is_multiple_of(every);
        if due(self.arguments.eval_steps) {
            let report = self.evaluate()?;
            self.history[step - 1].eval_loss = Some(report.loss);
        }
        if due(self.arguments.save_steps) {
            let loss = self.history[step - 1].eval_loss;
            let better = loss.filter(|loss| self.best.as_ref().is_none_or(|(best, _)| loss < best));
            let best = better.or(self.best.as_ref().map(|(best, _)| *best));
            let folder = checkpoint::save(&self.arguments.output_dir, &self.model, &self.optimizer, &self.history, best)?;
            if let Some(loss) = better {
                self.best = Some((loss, folder));
            }
            checkpoint::prune(
                &self.arguments.output_dir,
                self.arguments.save_total_limit,
                self.best.as_ref().map(|(_, path)| path.as_path()),
            )?;
        }
        Ok(())
    }

    /// Loss over all evaluation rows, dropout off.
    pub fn evaluate(&self) -> Result<EvalReport> {
        evaluate_loss(&self.model, &self.eval_rows, self.arguments.per_device_eval_batch_size, self.arguments.completion_only_loss)
    }

    /// Takes over a checkpoint of an earlier run with the same arguments; `train` then goes on as if never stopped.
    pub fn resume(&mut self, folder: impl AsRef<Path>) -> Result<()> {
        let folder = folder.as_ref();
        self.history = checkpoint::load(folder, &self.model, &mut self.optimizer)?;
        let evaluated = self.history.iter().filter_map(|report| Some((report.eval_loss?, report.step)));
        let best = evaluated.min_by(|a, b| a.0.total_cmp(&b.0));
        self.best =
            best.map(|(loss, step)| (loss, self.arguments.output_dir.join(format!("checkpoint-{step}")))).filter(|(_, path)| path.exists());
        Ok(())
    }

    /// Writes `checkpoint-<step>` with everything that [`Trainer::resume`] needs; returns its path.
    pub fn save_checkpoint(&self, output_dir: impl AsRef<Path>) -> Result<PathBuf> {
        let best = self.best.as_ref().map(|(loss, _)| *loss);
        checkpoint::save(output_dir.as_ref(), &self.model, &self.optimizer, &self.history, best)
    }

    /// Writes the model as a checkpoint folder that `from_pretrained` and transformers open.
    pub fn save_model(&self, folder: impl AsRef<Path>) -> Result<()> {
        self.model.save_pretrained(folder)
    }

    /// The model in training.
    pub fn model(&self) -> &CausalLm {
        &self.model
    }

    /// All steps so far.
    pub fn history(&self) -> &[StepReport] {
        &self.history
    }

    /// The settings.
    pub fn arguments(&self) -> &TrainingArguments {
        &self.arguments
    }

    fn rows_per_step(&self) -> usize {
        self.arguments.per_device_train_batch_size * self.arguments.gradient_accumulation_steps
    }

    fn steps_per_epoch(&self) -> usize {
        self.train_rows.len().div_ceil(self.rows_per_step())
    }

    /// Steps of the whole run.
    pub fn total_steps(&self) -> usize {
        match self.arguments.max_steps {
            -1 => ((self.arguments.num_train_epochs * self.steps_per_epoch() as f64).ceil() as usize).max(1),
            steps => steps.max(0) as usize,
        }
    }

    /// The rows of a step: a function of seed and step alone, so that a resumed run sees the same ones.
    fn micro_batches(&mut self, step: usize) -> Vec<Batch> {
        let epoch = step / self.steps_per_epoch();
        let (size, arguments) = (self.arguments.per_device_train_batch_size, &self.arguments);
        if self.order.0 != epoch {
            self.order = (epoch, epoch_order(self.train_rows.rows(), size, arguments.group_by_length, arguments.seed, epoch));
        }
        let start = step % self.steps_per_epoch() * self.rows_per_step();
        let end = (start + self.rows_per_step()).min(self.order.1.len());
        let rows = |indices: &[usize]| indices.iter().map(|&row| &self.train_rows.rows()[row]).collect::<Vec<&Tokens>>();
        self.order.1[start..end].chunks(size).map(|indices| Batch::new(&rows(indices), arguments.completion_only_loss)).collect()
    }

    fn log(&self) {
        if let Some(last) = self.history.last() {
            let eval = last.eval_loss.map(|loss| format!(", 'eval_loss': {loss:.4}")).unwrap_or_default();
            println!(
                "{{'loss': {:.4}, 'grad_norm': {:.4}, 'learning_rate': {:.3e}, 'epoch': {:.2}{eval}}}",
                last.loss, last.grad_norm, last.learning_rate, last.epoch
            );
        }
    }

    fn output(&self) -> TrainOutput {
        let sum = |value: fn(&StepReport) -> f64| self.history.iter().map(value).sum::<f64>();
        let (tokens, seconds) = (sum(|step| step.tokens as f64), sum(|step| step.seconds));
        TrainOutput {
            global_step: self.history.len(),
            training_loss: sum(|step| step.loss) / self.history.len().max(1) as f64,
            epoch: self.history.last().map_or(0.0, |step| step.epoch),
            train_runtime: seconds,
            train_tokens_per_second: tokens / seconds.max(1e-9),
            total_flos: self.model.floating_point_ops(tokens as usize),
        }
    }
}

/// Mean loss of a model over rows, dropout off, in batches.
pub fn evaluate_loss(model: &CausalLm, rows: &TokenizedDataset, batch_size: usize, completion_only: bool) -> Result<EvalReport> {
    check_rows("the evaluation data set", rows, true, model)?;
    let (mut loss, mut tokens) = (0.0, 0.0);
    for (index, part) in rows.rows().chunks(batch_size.max(1)).enumerate() {
        interrupt::check(format_args!("in the evaluation, before batch {index}"))?;
        let batch = Batch::new(&part.iter().collect::<Vec<_>>(), completion_only);
        loss += model.losses(&batch.inputs, &batch.lengths, batch.targets(0.0))?.iter().map(|loss| f64::from(*loss)).sum::<f64>();
        tokens += batch.predicted();
    }
    Ok(EvalReport { loss: loss / tokens.max(1.0), tokens: tokens as usize })
}

/// Refuses rows that the model cannot read.
fn check_rows(name: &str, rows: &TokenizedDataset, needed: bool, model: &CausalLm) -> Result<()> {
    if needed && rows.is_empty() {
        return Err(Error::new(ErrorKind::Data, format!("{name} has no rows"))
            .hint("load a data set with at least one row on each side of the split"));
    }
    let (vocabulary, positions) = (model.config().vocab_size(), model.config().max_position_embeddings());
    for (index, row) in rows.rows().iter().enumerate() {
        if let Some(id) = row.input_ids.iter().find(|&&id| id as usize >= vocabulary) {
            return Err(Error::new(
                ErrorKind::Data,
                format!("{name}, row {index}: token id {id} is outside of the model's vocabulary of {vocabulary}"),
            )
            .hint("load tokenizer and model by the same name"));
        }
        if row.input_ids.len() > positions + 1 {
            return Err(Error::new(
                ErrorKind::Data,
                format!("{name}, row {index}: {} tokens, the model has {positions} positions", row.input_ids.len()),
            )
            .hint(format!("set model.max_length to {positions} in the training_config")));
        }
    }
    Ok(())
}

/// Makes candle's next tensors have larger ids than the weights. A gradient is found by its tensor's id, and the stock
/// kernel links each cell with a counter of its own, so that a weight of an earlier cell could share the id of a new one.
pub(crate) fn pass_ids(model: &CausalLm) -> Result<()> {
    let number = |tensor: &Tensor| format!("{:?}", tensor.id()).chars().filter(char::is_ascii_digit).collect::<String>().parse::<usize>();
    let highest = model.weights().iter().filter_map(|(_, var)| number(var.as_tensor()).ok()).max().unwrap_or(0);
    while number(&Tensor::zeros(1, DType::U8, &Device::Cpu)?).is_ok_and(|id| id <= highest) {}
    Ok(())
}

impl std::fmt::Display for TrainOutput {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "TrainOutput(global_step={}, training_loss={:.4}, metrics={{'train_runtime': {:.2}, 'train_tokens_per_second': {:.0}, 'total_flos': {:.0}, 'epoch': {:.2}}})",
            self.global_step, self.training_loss, self.train_runtime, self.train_tokens_per_second, self.total_flos, self.epoch
        )
    }
}

/// Shows the loss of a run (see [`crate::train::curve::plot_loss`]).
pub fn show_loss(history: &[StepReport]) {
    show(&crate::train::curve::plot_loss(history));
}
