//! Rows of a step → changed weights and a report: the one training step of every objective.

use std::time::Instant;

use crate::error::{Error, ErrorKind, Result};
use crate::models::causal::CausalLm;
use crate::models::decoder::TrainBatch;
use crate::optim::gradients::Gradients;
use crate::train::arguments::settings::TrainingArguments;
use crate::train::batch::Batch;
use crate::train::log::meter::training_flops;
use crate::train::objective::{Objective, StepTask};
use crate::train::report::StepReport;
use crate::train::run::Run;
use crate::util::interrupt;

/// One optimizer step: backward on each micro-batch's summed loss, divided once by what was counted, clipped, checked; the
/// report is added to the run's history.
///
/// # Errors
/// When a row is none that the model can read, the loss or a gradient is not finite, a device fails, or after an interrupt.
/// The weights are then as they were, and the same step can be taken again.
pub fn training_step<'a, O: Objective>(run: &'a mut Run, objective: &O, rows: &[&O::Row]) -> Result<&'a StepReport> {
    // One pool and one number format for all that a step computes.
    let model = run.model.autocast(run.arguments.product_type());
    let report = model.pool().run(|| take(run, &model, objective, rows))?;
    Ok(run.add(report))
}

fn take<O: Objective>(run: &mut Run, model: &CausalLm, objective: &O, rows: &[&O::Row]) -> Result<StepReport> {
    let (started, step, rates) = (Instant::now(), run.history.len(), run.rates());
    let Run { optimizer, arguments, .. } = run;
    let weights = model.weights();
    model.set_seed(arguments.seed.wrapping_add((step as u64) << 20));

    // Rows → micro-batches, and what their loss is divided by.
    let StepTask { sequences, loss, metrics } = objective.task(model, rows, arguments)?;
    let mut micro_batches = Batch::micro_batches(&sequences, arguments, model)?;
    let num_items = loss.map_or_else(|| micro_batches.iter().map(Batch::num_items).sum(), |(_, num_items)| num_items);
    if num_items == 0.0 {
        return Err(Error::new(ErrorKind::Data, format!("the {} rows of the step have nothing to predict", rows.len()))
            .hint("give rows of two tokens or more with labels, and with completion_only_loss an answer behind the prompt"));
    }

    // What a step that failed has left is not added to.
    Gradients::take(weights).recycle(weights);
    micro_batches.iter_mut().for_each(|batch| batch.scale(optimizer.loss_scale.factor));

    // Forward and backward; in f16 again with half the loss scale while gradients overflow.
    let (loss, norm, gradients, scale) = loop {
        let mut sum = 0.0;
        for batch in &micro_batches {
            interrupt::check(format_args!("in step {}; `train` goes on from the step's start", step + 1))?;
            sum += objective.backward(model, train_batch(batch, arguments))?;
        }
        let gradients = Gradients::take(weights);
        let scale = f64::from(optimizer.loss_scale.factor);
        let loss = loss.map_or(sum / scale, |(loss, _)| loss) / num_items;
        let norm = gradients.norm()? / (num_items * scale);
        if norm.is_finite() && loss.is_finite() {
            break (loss, norm, gradients, scale);
        }
        if !optimizer.loss_scale.shrink() {
            return Err(exploded(step, loss, norm, &gradients.not_finite(weights)));
        }
        gradients.recycle(weights);
        micro_batches.iter_mut().for_each(|batch| batch.scale(0.5));
    };

    // Clip and update.
    let clip = match arguments.max_grad_norm {
        limit if limit > 0.0 => (limit / (norm + 1e-6)).min(1.0),
        _ => 1.0,
    };
    let before = Instant::now();
    optimizer.step_with(weights, gradients, rates.rate(step), (clip / (num_items * scale)) as f32)?;
    optimizer.loss_scale.grow(arguments.product_type());
    let optimizer_seconds = before.elapsed().as_secs_f64();

    // Report.
    let lengths: Vec<usize> = micro_batches.iter().flat_map(Batch::lengths).copied().collect();
    Ok(StepReport {
        step: step + 1,
        epoch: (step + 1) as f64 / run.steps_per_epoch as f64,
        loss,
        learning_rate: rates.rate(step + 1),
        grad_norm: norm,
        tokens: micro_batches.iter().map(Batch::tokens).sum(),
        flops: training_flops(model, &lengths),
        seconds: started.elapsed().as_secs_f64(),
        optimizer_seconds,
        eval_loss: None,
        metrics,
    })
}

/// What a backward pass is told of a micro-batch.
fn train_batch<'a>(batch: &'a Batch, arguments: &TrainingArguments) -> TrainBatch<'a> {
    TrainBatch {
        targets: batch.targets(arguments.label_smoothing_factor as f32),
        checkpointing: arguments.gradient_checkpointing,
        noise: arguments.neftune_noise_alpha.unwrap_or(0.0),
        ..batch.as_train_batch()
    }
}

fn exploded(step: usize, loss: f64, norm: f64, names: &[&str]) -> Error {
    let names = match names.len() {
        0 => String::new(),
        count => {
            format!("; gradients that are not finite ({count}): {}{}", names[..count.min(5)].join(", "), if count > 5 { ", …" } else { "" })
        }
    };
    let message =
        format!("step {}: the loss is {loss} and the gradient norm {norm}; the weights are as after step {step}{names}", step + 1);
    Error::new(ErrorKind::Training, message).hint("lower learning_rate, or raise warmup_steps")
}
