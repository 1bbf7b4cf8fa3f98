//! Tokenized rows → micro-batches: ids one after the other, labels shifted by one, a loss weight for every predicted token.
//!
//! Here ids and labels are checked, so that a batch holds none that a model would read past its end for. Rows are not padded
//! (padding on either side is left out): attention keeps them apart by their lengths, so a batch of any rows costs what its
//! tokens cost.

use std::borrow::Cow;

use crate::error::{Error, Result};
use crate::models::causal::CausalLm;
use crate::models::config::Config;
use crate::models::decoder::TrainBatch;
use crate::tokenizer::encode::Encoding;
use crate::train::arguments::settings::{Accumulation, TrainingArguments};
use compute::cpu::loss::Targets;

/// Input ids of a step that are computed together: enough for all threads, few enough for the caches.
pub const GROUP: usize = 512;

/// What the losses of a row's tokens count; 0 is not learnt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenWeights {
    /// Of the prompt's tokens.
    pub prompt: f32,
    /// Of the completion's tokens.
    pub completion: f32,
}

impl TokenWeights {
    /// 1 each, or with `completion_only` 0 in the prompt.
    pub fn even(completion_only: bool) -> Self {
        Self { prompt: if completion_only { 0.0 } else { 1.0 }, completion: 1.0 }
    }

    /// The completion's tokens alone.
    pub fn completion(weight: f32) -> Self {
        Self { prompt: 0.0, completion: weight }
    }
}

/// Rows of any lengths, N input ids in all; a weight of 0 marks what is not learnt (prompt, label −100).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch {
    /// Input ids of each row.
    lengths: Vec<usize>,
    /// Input ids `(N)`.
    inputs: Vec<u32>,
    /// The id to predict after each input `(N)`; any where the weight is 0.
    labels: Vec<u32>,
    /// What the loss of each label counts `(N)`; 0 is not learnt.
    loss_weights: Vec<f32>,
    /// Ids of the rows, the last ones too, which are only ever predicted.
    tokens: usize,
    /// What the batch adds to what a step's loss is divided by.
    num_items: f64,
}

impl Batch {
    /// Joins rows; `completion_only` leaves the prompts' tokens out of the loss.
    ///
    /// # Errors
    /// When a row is none that the model can read or learn (see [`Encoding::check`]); the error names it, counted from 0.
    pub fn new(rows: &[&Encoding], completion_only: bool, config: &Config) -> Result<Self> {
        let mut batch = Self::default();
        for (index, row) in rows.iter().enumerate() {
            batch.push(row, TokenWeights::even(completion_only), config).map_err(|error| error.at(format_args!("row {index}")))?;
        }
        Ok(batch)
    }

    /// The micro-batches of a step: rows, each with the weights of its losses. By tokens they are grouped as suits the machine,
    /// and every predicted token is an item; by means they are cut as they were asked for, each is divided by its own tokens
    /// and is one item.
    ///
    /// # Errors
    /// As [`Batch::new`].
    pub fn micro_batches(rows: &[(Cow<'_, Encoding>, TokenWeights)], arguments: &TrainingArguments, model: &CausalLm) -> Result<Vec<Self>> {
        let (config, size) = (model.config(), arguments.per_device_train_batch_size);
        if arguments.accumulation == Accumulation::Tokens {
            return Self::group(rows.iter().map(|(row, weights)| (row.as_ref(), *weights)), config, largest_group(model, arguments));
        }
        let mean = |(index, part): (usize, &[(Cow<'_, Encoding>, TokenWeights)])| {
            let mut batch = Self::default();
            for (place, (row, weights)) in part.iter().enumerate() {
                let at = |error: Error| error.at(format_args!("row {}", index * size + place));
                batch.push(row, *weights, config).map_err(at)?;
            }
            if batch.num_items > 0.0 {
                batch.scale((1.0 / batch.num_items) as f32);
                batch.num_items = 1.0;
            }
            Ok(batch)
        };
        rows.chunks(size).enumerate().map(mean).collect()
    }

    /// Rows, each with the weights of its losses, in batches of at most `tokens` input ids, or of one longer row: the same sum
    /// of losses, computed in pieces that stay in the processor's caches and are not too small for its threads.
    ///
    /// # Errors
    /// As [`Batch::new`].
    pub fn group<'a>(rows: impl IntoIterator<Item = (&'a Encoding, TokenWeights)>, config: &Config, tokens: usize) -> Result<Vec<Self>> {
        let mut groups: Vec<Self> = Vec::new();
        for (index, (row, weights)) in rows.into_iter().enumerate() {
            let inputs = inputs(row).map_err(|error| error.at(format_args!("row {index}")))?;
            if groups.last().is_none_or(|group| group.inputs.len() + inputs > tokens) {
                groups.push(Self::default());
            }
            let Some(group) = groups.last_mut() else { continue };
            group.push(row, weights, config).map_err(|error| error.at(format_args!("row {index}")))?;
        }
        Ok(groups)
    }

    fn push(&mut self, row: &Encoding, weights: TokenWeights, config: &Config) -> Result<()> {
        row.check(config.vocab_size(), config.max_position_embeddings())?;
        let real = row.real()?;
        self.tokens += row.input_ids.len();
        if real.len() < 2 {
            return Ok(());
        }
        self.lengths.push(real.len() - 1);
        self.inputs.extend_from_slice(&row.input_ids[real.start..real.end - 1]);
        for place in real.start + 1..real.end {
            let weight = if place < row.prompt_length { weights.prompt } else { weights.completion };
            let learnt = weight != 0.0 && row.is_learnt(place, false);
            self.labels.push(if learnt { row.labels[place] } else { 0 });
            self.loss_weights.push(if learnt { weight } else { 0.0 });
            self.num_items += f64::from(u8::from(learnt));
        }
        Ok(())
    }

    /// Multiplies all loss weights.
    pub fn scale(&mut self, factor: f32) {
        if factor != 1.0 {
            self.loss_weights.iter_mut().for_each(|weight| *weight *= factor);
        }
    }

    /// Number of predicted tokens; of a micro-batch whose mean is taken, 1.
    pub fn num_items(&self) -> f64 {
        self.num_items
    }

    /// Ids of the rows, the last ones and padding included.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Input ids of each row.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// Input ids of all rows, `(N)`.
    pub fn inputs(&self) -> &[u32] {
        &self.inputs
    }

    /// What each position should predict.
    pub fn targets(&self, smoothing: f32) -> Targets<'_> {
        Targets { labels: &self.labels, weights: &self.loss_weights, smoothing }
    }

    /// The batch for a backward pass without noise, smoothing or checkpointing.
    pub fn as_train_batch(&self) -> TrainBatch<'_> {
        TrainBatch { inputs: &self.inputs, lengths: &self.lengths, targets: self.targets(0.0), checkpointing: false, noise: 0.0 }
    }
}

/// Ids that are computed together at most, but for a longer row: [`GROUP`], or with `packing` [`packed_length`] where that is more.
pub fn largest_group(model: &CausalLm, arguments: &TrainingArguments) -> usize {
    if arguments.packing { packed_length(model, arguments).max(GROUP) } else { GROUP }
}

/// Ids of a packed sequence at most: `max_length`, or the model's positions.
pub fn packed_length(model: &CausalLm, arguments: &TrainingArguments) -> usize {
    arguments.max_length.unwrap_or(model.config().max_position_embeddings())
}

/// Input ids of a row: all but padding and the last one.
///
/// # Errors
/// As [`Encoding::real`].
pub fn inputs(row: &Encoding) -> Result<usize> {
    Ok(row.real()?.len().saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::config::NeoxConfig;

    fn config() -> Config {
        NeoxConfig { max_position_embeddings: 16, ..NeoxConfig::new(32, 8, 1, 2) }.into()
    }

    #[test]
    fn labels_are_shifted_and_padding_is_left_out() {
        let long = Encoding { prompt_length: 2, ..Encoding::from_ids(vec![5, 6, 7, 8]) };
        let short = Encoding { attention_mask: vec![0, 1, 1, 0], prompt_length: 2, ..Encoding::from_ids(vec![0, 9, 4, 0]) };
        let batch = Batch::new(&[&long, &short, &Encoding::from_ids(vec![3])], false, &config()).unwrap();
        assert_eq!((batch.lengths(), batch.tokens()), ([3, 1].as_slice(), 9));
        assert_eq!(batch.inputs(), [5, 6, 7, 9]);
        assert_eq!(batch.labels, [6, 7, 8, 4]);
        assert_eq!(batch.loss_weights, [1.0, 1.0, 1.0, 1.0]);
        assert_eq!(Batch::new(&[&long, &short], true, &config()).unwrap().loss_weights, [0.0, 1.0, 1.0, 1.0]);
        let skipped = long.clone().with_labels(&[-100, 6, -100, 8]).unwrap();
        assert_eq!(Batch::new(&[&skipped], false, &config()).unwrap().loss_weights, [1.0, 0.0, 1.0]);
        assert_eq!([skipped.predictions(true).unwrap(), long.predictions(false).unwrap()], [1, 3]);
    }

    #[test]
    fn groups_hold_the_same_rows_in_order() {
        let rows: Vec<Encoding> = [4, 3, 9, 2].iter().map(|&length| Encoding::from_ids((0..length).collect())).collect();
        let groups = Batch::group(rows.iter().map(|row| (row, TokenWeights::even(false))), &config(), 6).unwrap();
        assert_eq!(groups.iter().map(|batch| batch.lengths.clone()).collect::<Vec<_>>(), [vec![3, 2], vec![8], vec![1]]);
        let whole = Batch::new(&rows.iter().collect::<Vec<_>>(), false, &config()).unwrap();
        let inputs: Vec<u32> = groups.iter().flat_map(|batch| batch.inputs.clone()).collect();
        assert_eq!(inputs, whole.inputs);
        assert_eq!(groups.iter().map(Batch::tokens).sum::<usize>(), whole.tokens());
    }
}
