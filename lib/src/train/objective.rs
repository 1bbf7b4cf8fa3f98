//! What a run learns: rows of a step → sequences whose weighted losses have the gradient of the step's loss.
//!
//! [`NextToken`] is the plain objective, of all tokens or of completions only; a loss of the caller's own is
//! [`crate::train::custom_loss`], preferences of answers have theirs in [`crate::train::preference`].

use std::borrow::Cow;
use std::fmt::Debug;

use serde_json::Value;

use crate::error::Result;
use crate::models::causal::CausalLm;
use crate::models::decoder::TrainBatch;
use crate::tokenizer::encode::Encoding;
use crate::train::arguments::settings::TrainingArguments;
use crate::train::batch::{TokenWeights, inputs};
use crate::train::evaluation::run_loss;
use crate::train::report::{EvalReport, Metrics};

/// What a step computes: `Σ weight · loss` of the sequences has the gradient of the step's summed loss.
#[derive(Debug)]
pub struct StepTask<'a> {
    /// What the model reads, each with the weights of its tokens' losses.
    pub sequences: Vec<(Cow<'a, Encoding>, TokenWeights)>,
    /// The summed loss and what it is divided by, where they are not `Σ weight · loss` itself and the items of the batches.
    pub loss: Option<(f64, f64)>,
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

    /// What a checksum of the rows is made of, by which a run that goes on sees whether they are those that it began with. By
    /// default the lengths alone.
    ///
    /// # Errors
    /// When the row is not well formed.
    fn ids(&self, row: &Self::Row) -> Result<Vec<u32>> {
        Ok(self.lengths(row)?.into_iter().map(|length| length as u32).collect())
    }

    /// What there is to learn from the rows of a step.
    ///
    /// # Errors
    /// When a row is none that the model can read, or after an interrupt.
    fn task<'a>(&self, model: &CausalLm, rows: &[&'a Self::Row], arguments: &TrainingArguments) -> Result<StepTask<'a>>;

    /// Adds the gradients of `Σ weight · loss` of a micro-batch to the weights' own; returns that loss. By default the loss of a
    /// token is its negative log-probability.
    ///
    /// # Errors
    /// candle's, and for a family whose layers have an operation without a backward pass.
    fn backward(&self, model: &CausalLm, batch: TrainBatch) -> Result<f64> {
        Ok(model.decoder().backward(model.backend(), batch)?)
    }

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
    type Row = Encoding;

    fn lengths(&self, row: &Encoding) -> Result<Vec<usize>> {
        Ok(vec![inputs(row)?])
    }

    fn ids(&self, row: &Encoding) -> Result<Vec<u32>> {
        Ok([&row.input_ids[..], &row.labels, &[row.prompt_length as u32]].concat())
    }

    fn task<'a>(&self, _: &CausalLm, rows: &[&'a Encoding], arguments: &TrainingArguments) -> Result<StepTask<'a>> {
        let weights = TokenWeights::even(arguments.completion_only_loss);
        let sequences = rows.iter().map(|row| (Cow::Borrowed(*row), weights)).collect();
        Ok(StepTask { sequences, loss: None, metrics: Metrics::new() })
    }

    fn evaluate(&self, model: &CausalLm, rows: &[Encoding], arguments: &TrainingArguments) -> Result<EvalReport> {
        run_loss(model, rows, arguments)
    }
}
