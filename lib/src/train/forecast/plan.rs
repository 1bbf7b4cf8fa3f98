//! (model, arguments, rows) → what a run will need: steps, tokens, memory and time on this machine; and what to change where it
//! does not fit.
//!
//! Memory and time are measured: a few steps at a learning rate of 0, the one with the most tokens among them.

use std::fmt;
use std::time::Instant;

use crate::display::output::{Show, last_expression};
use crate::error::Result;
use crate::models::causal::CausalLm;
use crate::optim::optimizer::Optimizer;
use crate::tokenizer::encode::{Encoding, TokenizedDataset};
use crate::train::arguments::settings::{IntervalStrategy, TrainingArguments};
use crate::train::batch::{inputs, packed_length};
use crate::train::check;
use crate::train::evaluation::run_loss;
use crate::train::log::curve::duration;
use crate::train::log::meter::training_flops;
use crate::train::report::StepReport;
use crate::train::sampler::Sampler;
use crate::train::step::training_step;
use crate::train::trainer::Trainer;
use crate::util::memory::{available_memory, highest_during};

/// Steps that are timed, beside the largest one.
const TIMED: usize = 4;
/// Steps of an epoch that are looked at for the largest one.
const LOOKED_AT: usize = 1 << 14;

/// What a run will need.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Plan {
    /// Rows that are trained on.
    pub rows: usize,
    /// Rows of a step.
    pub rows_per_step: usize,
    /// Optimizer steps of the whole run.
    pub steps: usize,
    /// Passes over the rows.
    pub epochs: f64,
    /// Parameters that are trained.
    pub trained_parameters: usize,
    /// Tokens of the whole run, as [`StepReport::tokens`] counts them.
    pub tokens: usize,
    /// Tokens of its largest step.
    pub largest_step: usize,
    /// Bytes that the process holds in the largest step; where that could not be tried, what the step needs at least.
    pub memory: usize,
    /// Bytes that are free on the machine, beside what the process holds; 0 where the system does not say.
    pub available: usize,
    /// Seconds of training and of evaluations on this machine; none where the largest step does not fit into memory.
    pub seconds: Option<f64>,
    /// What to change where it does not fit.
    pub advice: Option<String>,
}

/// Tells what a run of these arguments will need, before anything starts: it takes a few steps that leave the weights as they
/// are, and writes nothing. `eval_dataset` may be empty where the run does not evaluate.
///
/// # Errors
/// When the run could not start ([`Trainer::new`]) for another reason than memory, or after an interrupt.
pub fn plan(
    model: &CausalLm,
    arguments: &TrainingArguments,
    train_dataset: &TokenizedDataset,
    eval_dataset: &TokenizedDataset,
) -> Result<Plan> {
    check::arguments(arguments, model)?;
    let rows = check::learnable("train_dataset", train_dataset.rows(), true, arguments.completion_only_loss, model)?;
    let rows: Vec<Encoding> = rows.into_iter().cloned().collect();
    let lengths = rows.iter().map(|row| Ok(vec![inputs(row)?])).collect::<Result<Vec<_>>>()?;
    let mut steps = Steps::of(model, arguments, &lengths);
    let largest = steps.largest();
    let tokens_of = |rows: &[usize]| rows.iter().map(|&row| lengths[row][0] + 1).sum::<usize>();
    let mut plan = Plan {
        rows: rows.len(),
        rows_per_step: arguments.rows_per_step(),
        steps: steps.total,
        epochs: steps.total as f64 / steps.epoch as f64,
        trained_parameters: model.trainable_parameter_count(),
        tokens: steps.sum(|rows| tokens_of(rows) as f64) as usize,
        largest_step: tokens_of(&largest),
        memory: 0,
        available: available_memory(),
        seconds: None,
        advice: None,
    };
    let optimizer = Optimizer::new(arguments.optimizer_settings(), model.backend(), model.weights())?.bytes();
    let needs = |arguments: &TrainingArguments| check::largest_pass(model, arguments, optimizer, &lengths).0;
    if plan.available > 0 && needs(arguments) > plan.available {
        plan.memory = needs(arguments);
        plan.advice = Some(advice(arguments, plan.available, &needs));
        return Ok(plan);
    }
    let mut trainer = Trainer::new(model, arguments.alone(), TokenizedDataset::from_rows(rows.clone()), TokenizedDataset::default())?;
    let (run, objective) = trainer.parts();
    run.arguments.learning_rate = 0.0;
    let mut step = |chosen: &[usize]| training_step(run, objective, &chosen.iter().map(|&row| &rows[row]).collect::<Vec<_>>()).map(drop);
    let (memory, first) = highest_during(|| step(&largest));
    first?;
    plan.memory = memory;
    let between = steps.total.min(steps.epoch);
    for place in (0..TIMED).map(|part| part * between / TIMED) {
        step(&steps.rows(place))?;
    }
    // The first step also made what later ones find.
    let timed = &trainer.history()[1..];
    let sum = |value: fn(&StepReport) -> f64| timed.iter().map(value).sum::<f64>();
    let (optimizer, flops) = (sum(|step| step.optimizer_seconds) / timed.len() as f64, sum(|step| step.flops));
    let rate = flops / (sum(|step| step.seconds) - sum(|step| step.optimizer_seconds)).max(1e-9);
    let work = steps.sum(|rows| training_flops(model, &rows.iter().map(|&row| lengths[row][0]).collect::<Vec<_>>()));
    let evaluations = evaluations(arguments, steps.total, steps.epoch);
    let evaluating = if evaluations > 0 { evaluations as f64 * seconds_of_evaluation(model, arguments, eval_dataset)? } else { 0.0 };
    plan.seconds = Some(work / rate + optimizer * steps.total as f64 + evaluating);
    Ok(plan)
}

/// The rows of each step of a run.
struct Steps<'a> {
    sampler: Sampler,
    arguments: &'a TrainingArguments,
    total: usize,
    epoch: usize,
    lengths: &'a [Vec<usize>],
}

impl<'a> Steps<'a> {
    fn of(model: &CausalLm, arguments: &'a TrainingArguments, lengths: &'a [Vec<usize>]) -> Self {
        let sampler = Sampler::of(lengths, arguments.packing.then(|| packed_length(model, arguments)));
        let items = sampler.items();
        Self { total: arguments.total_steps(items), epoch: arguments.steps_per_epoch(items).max(1), sampler, arguments, lengths }
    }

    fn rows(&mut self, step: usize) -> Vec<usize> {
        self.sampler.rows(step, self.arguments)
    }

    /// The rows of the step of an epoch that has the most tokens.
    fn largest(&mut self) -> Vec<usize> {
        let steps = self.total.min(self.epoch).min(LOOKED_AT);
        let (_, rows) = (0..steps).fold((0, Vec::new()), |(most, kept), step| {
            let rows = self.rows(step);
            let tokens = rows.iter().map(|&row| self.lengths[row][0]).sum::<usize>();
            if tokens > most { (tokens, rows) } else { (most, kept) }
        });
        rows
    }

    /// A sum over all steps of the run: whole epochs are alike, each has every row once.
    fn sum(&mut self, value: impl Fn(&[usize]) -> f64) -> f64 {
        let all: Vec<usize> = (0..self.lengths.len()).collect();
        let rest: f64 = (self.total - self.total % self.epoch..self.total).map(|step| value(&self.rows(step))).sum();
        (self.total / self.epoch) as f64 * value(&all) + rest
    }
}

/// What to change so that a run fits into so many bytes.
fn advice(arguments: &TrainingArguments, available: usize, needs: &dyn Fn(&TrainingArguments) -> usize) -> String {
    let saving = TrainingArguments { gradient_checkpointing: true, ..arguments.clone() };
    if needs(&saving) <= available {
        return "set gradient_checkpointing: true, for a third more time".into();
    }
    "cut the rows with a smaller max_length, train an adapter (`with_lora`), or take a model with packed weights (GGUF)".into()
}

/// How often a run evaluates.
fn evaluations(arguments: &TrainingArguments, steps: usize, epoch: usize) -> usize {
    match arguments.eval_strategy {
        IntervalStrategy::Steps if arguments.eval_steps > 0 => steps.div_ceil(arguments.eval_steps),
        IntervalStrategy::Epoch => steps.div_ceil(epoch),
        _ => 0,
    }
}

/// Seconds of an evaluation, by its first batch.
fn seconds_of_evaluation(model: &CausalLm, arguments: &TrainingArguments, rows: &TokenizedDataset) -> Result<f64> {
    let size = arguments.per_device_eval_batch_size.max(1);
    let first = &rows.rows()[..size.min(rows.len())];
    let tokens = |rows: &[Encoding]| rows.iter().map(|row| row.input_ids.len()).sum::<usize>() as f64;
    let before = Instant::now();
    run_loss(model, first, arguments)?;
    Ok(before.elapsed().as_secs_f64() * tokens(rows.rows()) / tokens(first).max(1.0))
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gb = |bytes: usize| bytes as f64 / 1e9;
        let Self { rows, rows_per_step, steps, epochs, trained_parameters, tokens, largest_step, .. } = self;
        writeln!(
            f,
            "{steps} steps of {rows_per_step} rows: {epochs:.1} passes over {rows} rows, {trained_parameters} parameters are trained"
        )?;
        writeln!(f, "{tokens} tokens, {largest_step} in the largest step")?;
        let free = if self.available > 0 { format!(", {:.1} GB are free", gb(self.available)) } else { String::new() };
        match (self.seconds, &self.advice) {
            (Some(seconds), _) => {
                writeln!(f, "{:.2} GB of memory{free}", gb(self.memory))?;
                write!(f, "{} on this machine", duration(seconds))
            }
            (None, advice) => {
                writeln!(f, "{:.2} GB of memory at least{free}: it does not fit", gb(self.memory))?;
                write!(f, "{}", advice.as_deref().unwrap_or_default())
            }
        }
    }
}

impl Show for Plan {
    fn text(&self) -> String {
        self.to_string()
    }
}

last_expression!(Plan);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_says_what_would() {
        let needs = |arguments: &TrainingArguments| if arguments.gradient_checkpointing { 60 } else { 100 };
        let of = |available| advice(&TrainingArguments::default(), available, &needs);
        assert_eq!(of(70), "set gradient_checkpointing: true, for a third more time");
        assert!(of(50).contains("max_length") && of(50).contains("adapter"), "{}", of(50));
    }

    #[test]
    fn evaluations_are_counted_with_the_last() {
        let count = |eval_strategy, eval_steps| {
            let own = TrainingArguments { eval_strategy, eval_steps, ..Default::default() };
            evaluations(&own, 10, 4)
        };
        let counts = [count(IntervalStrategy::Steps, 0), count(IntervalStrategy::Steps, 4), count(IntervalStrategy::Epoch, 0)];
        assert_eq!((counts, count(IntervalStrategy::No, 4)), ([0, 3, 3], 0));
    }
}
