//! (classifier, texts with labels) → a classifier that knows them: transformers' `Trainer` of an
//! `AutoModelForSequenceClassification`.

use std::borrow::Cow;
use std::ops::{Deref, DerefMut};

use crate::error::{Error, ErrorKind, Result};
use crate::models::causal::CausalLm;
use crate::models::classifier::SequenceClassifier;
use crate::tokenizer::encode::Encoding;
use crate::train::arguments::check::refuse;
use crate::train::arguments::settings::TrainingArguments;
use crate::train::batch::TokenWeights;
use crate::train::check;
use crate::train::objective::{Objective, StepTask};
use crate::train::report::{EvalReport, Metrics};
use crate::train::score::labelled::LabelledText;
use crate::train::score::sequence;
use crate::train::trainer::Trainer;

/// A text as the row that a model reads.
#[derive(Debug)]
pub struct LabelledRow(Encoding);

impl LabelledRow {
    /// The ids of the text.
    pub fn ids(&self) -> &[u32] {
        sequence::ids(&self.0)
    }

    /// The number of its label.
    pub fn label(&self) -> usize {
        self.0.labels[self.0.prompt_length] as usize
    }
}

/// The label becomes the likeliest one: the loss of a text is its negative log-probability.
#[derive(Debug, Clone, Copy)]
pub struct Classification;

impl Objective for Classification {
    type Row = LabelledRow;

    fn lengths(&self, row: &LabelledRow) -> Result<Vec<usize>> {
        Ok(vec![row.ids().len()])
    }

    fn ids(&self, row: &LabelledRow) -> Result<Vec<u32>> {
        Ok([row.ids(), &[row.label() as u32]].concat())
    }

    fn task<'a>(&self, _: &CausalLm, rows: &[&'a LabelledRow], _: &TrainingArguments) -> Result<StepTask<'a>> {
        let sequences = rows.iter().map(|row| (Cow::Borrowed(&row.0), TokenWeights::completion(1.0))).collect();
        Ok(StepTask { sequences, loss: None, metrics: Metrics::new() })
    }

    fn evaluate(&self, model: &CausalLm, rows: &[LabelledRow], arguments: &TrainingArguments) -> Result<EvalReport> {
        let (mut loss, mut right) = (0.0, 0.0);
        let smoothing = arguments.label_smoothing_factor;
        let scores = model.scores(&rows.iter().map(LabelledRow::ids).collect::<Vec<_>>())?;
        for (row, scores) in rows.iter().zip(scores) {
            let scores: Vec<f64> = scores.into_iter().map(f64::from).collect();
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let all = largest + scores.iter().map(|score| (score - largest).exp()).sum::<f64>().ln();
            let mean = scores.iter().sum::<f64>() / scores.len() as f64;
            loss += all - (1.0 - smoothing) * scores[row.label()] - smoothing * mean;
            right += f64::from(u8::from(scores.iter().position(|score| *score == largest) == Some(row.label())));
        }
        let count = rows.len().max(1) as f64;
        Ok(EvalReport { loss: loss / count, tokens: rows.len(), metrics: [("accuracy".to_string(), right / count)].into() })
    }
}

/// A [`Trainer`] of a classifier, to which it dereferences: `train`, `evaluate`, checkpoints and callbacks are that trainer's. An
/// evaluation has the `accuracy`; more metrics are [`Trainer::set_compute_metrics`].
#[derive(Debug)]
pub struct ClassificationTrainer(Trainer<Classification>);

impl Deref for ClassificationTrainer {
    type Target = Trainer<Classification>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for ClassificationTrainer {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl ClassificationTrainer {
    /// A trainer that shares the model's weights with the caller's variable; `eval_rows` may be empty where the arguments ask for
    /// no evaluation.
    ///
    /// # Errors
    /// When the model has one label only, an argument, a row or a weight cannot work, memory does not suffice, or `output_dir` holds
    /// another run.
    pub fn new(
        model: &SequenceClassifier,
        arguments: TrainingArguments,
        rows: Vec<LabelledText>,
        eval_rows: Vec<LabelledText>,
    ) -> Result<Self> {
        let (labels, model) = (model.labels().len(), model.model());
        check::arguments(&arguments, model)?;
        let vocabulary = model.config().vocab_size();
        if !(2..=vocabulary).contains(&labels) {
            return Err(Error::new(ErrorKind::Model, format!("the model has {labels} labels; texts are told apart by 2 to {vocabulary}"))
                .hint("name the labels when the model is made; one label is for a RewardTrainer"));
        }
        if arguments.packing {
            return Err(refuse("packing", true, "false in a ClassificationTrainer"));
        }
        if rows.is_empty() || arguments.evaluates() && eval_rows.is_empty() {
            let what = if rows.is_empty() { "train on" } else { "evaluate, though the arguments ask for it" };
            return Err(Error::new(ErrorKind::Data, format!("there are no texts to {what}"))
                .hint("load rows with text and label, call `tokenize_labelled`, or set eval_steps: 0"));
        }
        let made = |name: &str, rows: Vec<LabelledText>| -> Result<Vec<LabelledRow>> {
            let row = |(index, LabelledText { ids, label }): (usize, &LabelledText)| {
                let what = format!("{name} {index}");
                sequence::check(&what, ids, model)?;
                if *label >= labels {
                    return Err(Error::new(
                        ErrorKind::Data,
                        format!("{what}: the label is {label}; the model has labels 0 to {}", labels - 1),
                    )
                    .hint("name all labels when the model is made, in the order of their numbers"));
                }
                Ok(LabelledRow(sequence::scored(ids, *label as u32, model)))
            };
            rows.iter().enumerate().map(row).collect()
        };
        let (train, eval) = (made("text", rows)?, made("evaluation text", eval_rows)?);
        check::weights(model)?;
        Ok(Self(Trainer::with_objective(Classification, model, arguments, train, eval)?))
    }
}
