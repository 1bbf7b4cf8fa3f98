//! What a run learns: rows of a step → micro-batches whose weighted losses have the gradient of the step's loss.
//!
//! [`NextToken`] is the plain objective, of all tokens or of completions only; preferences of answers have theirs in
//! [`crate::train::preference::objective`].

use std::fmt::Debug;

use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};
use crate::models::causal::CausalLm;
use crate::tokenizer::encode::Tokens;
use crate::train::arguments::settings::{Accumulation, TrainingArguments};
use crate::train::batch::{Batch, inputs, largest_group};
use crate::train::evaluation::smoothed_loss;
use crate::train::report::{EvalReport, Metrics};

/// What a step computes.
#[derive(Debug)]
pub struct StepBatch {
    /// `Σ weight · loss` over all of them has the gradient of the step's summed loss.
    pub micro_batches: Vec<Batch>,
    /// What the summed loss and its gradient are divided by: predicted tokens, micro-batches or pairs.
    pub num_items: f64,
    /// The summed loss, where it is not `Σ weight · loss` itself.
    pub loss: Option<f64>,
    /// The objective's own means.
    pub metrics: Metrics,
}

/// How a trainer learns from rows of some kind.
pub trait Objective: Debug + Send + Sync {
    /// What a data set consists of.
    type Row: Debug + Send + Sync;

    /// Input ids of each sequence that a row becomes.
    ///
    /// # Errors
    /// When the row is not well formed.
    fn lengths(&self, row: &Self::Row) -> Result<Vec<usize>>;

    /// The rows of a step, ready for backward passes.
    ///
    /// # Errors
    /// When a row is none that the model can read, or after an interrupt.
    fn step_batch(&self, model: &CausalLm, rows: &[&Self::Row], arguments: &TrainingArguments) -> Result<StepBatch>;

    /// The loss on held-out rows, dropout off.
    ///
    /// # Errors
    /// When there are no rows, or after an interrupt.
    fn evaluate(&self, model: &CausalLm, rows: &[Self::Row], arguments: &TrainingArguments) -> Result<EvalReport>;

    /// A name and settings beside the arguments, which a checkpoint keeps: a run that goes on with others says so.
    fn settings(&self) -> Option<(&'static str, Value)> {
        None
    }
}

/// Each token is predicted from those before it; `completion_only_loss` leaves the prompts' tokens out.
#[derive(Debug, Clone, Copy, Default)]
pub struct NextToken;

impl Objective for NextToken {
    type Row = Tokens;

    fn lengths(&self, row: &Tokens) -> Result<Vec<usize>> {
        Ok(vec![inputs(row)?])
    }

    fn step_batch(&self, model: &CausalLm, rows: &[&Tokens], arguments: &TrainingArguments) -> Result<StepBatch> {
        let (only, config) = (arguments.completion_only_loss, model.config());
        let micro_batches = match arguments.accumulation {
            Accumulation::Tokens => Batch::group(rows.iter().map(|row| (*row, 1.0)), only, config, largest_group(model, arguments))?,
            Accumulation::Means => {
                rows.chunks(arguments.per_device_train_batch_size).map(|rows| Batch::new(rows, only, config)).collect::<Result<_>>()?
            }
        };
        if !micro_batches.iter().any(|batch: &Batch| batch.predicted() > 0.0) {
            return Err(Error::new(ErrorKind::Data, format!("the {} rows of the step have nothing to predict", rows.len()))
                .hint("give rows of two tokens or more with labels, and with completion_only_loss an answer behind the prompt"));
        }
        let mut batch = StepBatch { micro_batches, num_items: 0.0, loss: None, metrics: Metrics::new() };
        for part in &mut batch.micro_batches {
            batch.num_items += match arguments.accumulation {
                Accumulation::Tokens => part.predicted(),
                Accumulation::Means => {
                    part.scale((1.0 / part.predicted().max(1.0)) as f32);
                    1.0
                }
            };
        }
        Ok(batch)
    }

    fn evaluate(&self, model: &CausalLm, rows: &[Tokens], arguments: &TrainingArguments) -> Result<EvalReport> {
        let TrainingArguments { per_device_eval_batch_size, completion_only_loss, label_smoothing_factor, .. } = *arguments;
        smoothed_loss(model, rows, per_device_eval_batch_size, completion_only_loss, label_smoothing_factor)
    }
}
