//! Rows → micro-batches → summed gradients → clip → update: one turn of the [`Trainer`]'s loop.

use std::time::Instant;

use crate::error::{Error, ErrorKind, Result};
use crate::models::decoder::Lesson;
use crate::optim::optimizer::gradient_norm;
use crate::tokenizer::encode::Tokens;
use crate::train::arguments::settings::{Accumulation, SamplingStrategy};
use crate::train::batch::{Batch, epoch_order};
use crate::train::evaluation::bad_gradients;
use crate::train::log::curve::StepReport;
use crate::train::log::meter::training_flops;
use crate::train::trainer::Trainer;
use crate::util::interrupt;
use compute::cpu::loss::Targets;

/// Input ids of a step that are computed together: enough for all threads, few enough for the caches.
pub(crate) const GROUP: usize = 512;

impl Trainer {
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
        let step = self.history.len();
        self.model.set_seed(self.arguments.seed.wrapping_add((step as u64) << 20));
        let tokens = batches.iter().map(|batch| batch.tokens).sum();
        let flops = batches.iter().map(|batch| training_flops(&self.model, &batch.lengths)).sum();
        let batches = match self.arguments.accumulation {
            Accumulation::Tokens => Batch::regroup(&batches, self.piece()),
            Accumulation::Means => batches,
        };
        let dtype = self.arguments.product_type();
        let (loss, share, norm) = loop {
            let factor = f64::from(self.optimizer.loss_scale.factor);
            let (loss, share) = self.gradients(&batches, factor)?;
            let norm = self.model.pool().run(|| gradient_norm(self.model.weights()))? / (share * factor);
            if norm.is_finite() && loss.is_finite() {
                break (loss, share, norm);
            }
            if !self.optimizer.loss_scale.shrink() {
                return Err(self.exploded(loss / share, norm));
            }
        };
        let plan = self.arguments.rate_plan(self.total_steps());
        let clip = match self.arguments.max_grad_norm {
            limit if limit > 0.0 => (limit / (norm + 1e-6)).min(1.0),
            _ => 1.0,
        };
        let before = Instant::now();
        let scale = clip / (share * f64::from(self.optimizer.loss_scale.factor));
        self.model.pool().run(|| self.optimizer.step(self.model.weights(), plan.rate(step), scale as f32))?;
        self.optimizer.loss_scale.grow(dtype);
        let optimizer_seconds = before.elapsed().as_secs_f64();
        self.history.push(StepReport {
            step: step + 1,
            epoch: (step + 1) as f64 / self.steps_per_epoch() as f64,
            loss: loss / share,
            learning_rate: plan.rate(step + 1),
            grad_norm: norm,
            tokens,
            flops,
            seconds: started.elapsed().as_secs_f64(),
            optimizer_seconds,
            eval_loss: None,
        });
        self.count();
        Ok(&self.history[step])
    }

    /// Sums the gradients of `factor · loss` over micro-batches; returns the loss and what it is to be divided by.
    fn gradients(&self, batches: &[Batch], factor: f64) -> Result<(f64, f64)> {
        // What a step that failed has left.
        self.model.weights().iter().for_each(|(_, parameter)| parameter.recycle(parameter.take_gradient()));
        let (mut loss, mut share) = (0.0, 0.0);
        for batch in batches {
            interrupt::check(format_args!("in step {}; `train` goes on from the step's start", self.history.len() + 1))?;
            let predicted = batch.predicted();
            let (sum, part) = match self.arguments.accumulation {
                Accumulation::Tokens => (self.backward(batch, factor)?, predicted),
                Accumulation::Means => (self.backward(batch, factor / predicted.max(1.0))?, 1.0),
            };
            loss += sum / factor;
            share += part;
        }
        Ok((loss, share.max(1.0)))
    }

    fn exploded(&self, loss: f64, norm: f64) -> Error {
        let (step, names) = (self.history.len(), bad_gradients(self.model.weights()));
        let names = match names.len() {
            0 => String::new(),
            count => format!(
                "; gradients that are not finite ({count}): {}{}",
                names[..count.min(5)].join(", "),
                if count > 5 { ", …" } else { "" }
            ),
        };
        let message =
            format!("step {}: the loss is {loss} and the gradient norm {norm}; the weights are as after step {step}{names}", step + 1);
        Error::new(ErrorKind::Training, message).hint("lower learning_rate, or raise warmup_steps")
    }

    /// Adds a micro-batch's gradients of `scale · summed loss`; returns that loss.
    fn backward(&self, batch: &Batch, scale: f64) -> Result<f64> {
        let weights: Vec<f32> = batch.weights.iter().map(|weight| weight * scale as f32).collect();
        let targets = Targets { weights: &weights, ..batch.targets(self.arguments.label_smoothing_factor as f32) };
        let noise = self.arguments.neftune_noise_alpha.unwrap_or(0.0);
        let model = self.model.autocast(self.arguments.product_type());
        model.backward(Lesson { targets, checkpointing: self.arguments.gradient_checkpointing, noise, ..batch.lesson() })
    }

    /// Brings the state's totals to the history's.
    pub(super) fn count(&mut self) {
        let tokens = self.history.iter().map(|step| step.tokens).sum();
        self.state.global_step = self.history.len();
        self.state.epoch = self.history.last().map_or(0.0, |step| step.epoch);
        self.state.num_input_tokens_seen = tokens;
        self.state.total_flos = self.model.floating_point_ops(tokens);
    }

    /// Ids that are computed together at most, but for a longer row.
    fn piece(&self) -> usize {
        if self.arguments.packing { self.model.config().max_position_embeddings().max(GROUP) } else { GROUP }
    }

    /// The most ids that may come together.
    pub(super) fn largest_piece(&self) -> usize {
        let mut lengths: Vec<usize> = self.train_rows.rows().iter().map(|row| row.input_ids.len().saturating_sub(1)).collect();
        lengths.sort_unstable_by(|a, b| b.cmp(a));
        let longest = |count: usize| lengths.iter().take(count).sum::<usize>();
        match self.arguments.accumulation {
            Accumulation::Tokens => longest(self.rows_per_step()).min(self.piece()).max(longest(1)),
            Accumulation::Means => longest(self.arguments.per_device_train_batch_size),
        }
    }

    pub(super) fn rows_per_step(&self) -> usize {
        self.arguments.per_device_train_batch_size * self.arguments.gradient_accumulation_steps
    }

    pub(super) fn steps_per_epoch(&self) -> usize {
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
            let rows = self.train_rows.rows();
            let order = match arguments.train_sampling_strategy {
                SamplingStrategy::Sequential => (0..rows.len()).collect(),
                _ => epoch_order(rows, size, arguments.groups_by_length(), arguments.data_seed.unwrap_or(arguments.seed), epoch),
            };
            self.order = (epoch, order);
        }
        let start = step % self.steps_per_epoch() * self.rows_per_step();
        let end = (start + self.rows_per_step()).min(self.order.1.len());
        let rows = |indices: &[usize]| indices.iter().map(|&row| &self.train_rows.rows()[row]).collect::<Vec<&Tokens>>();
        self.order.1[start..end].chunks(size).map(|indices| Batch::new(&rows(indices), arguments.completion_only_loss)).collect()
    }
}
