//! Tokenized rows → micro-batches: ids one after the other, targets shifted by one, a weight for every predicted token.
//!
//! Rows are not padded: attention keeps them apart by their lengths, so a batch of any rows costs what its tokens cost.

use crate::models::decoder::Lesson;
use crate::tokenizer::encode::Tokens;
use crate::util::rng::Pcg64;
use compute::cpu::loss::Targets;

/// Rows of any lengths, N input ids in all; a weight of 0 marks what is not learnt (prompt, masked positions).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch {
    /// Input ids of each row.
    pub lengths: Vec<usize>,
    /// Input ids.
    pub inputs: Vec<u32>,
    /// The id that follows each input.
    pub targets: Vec<u32>,
    /// 1 where the target counts, else 0.
    pub weights: Vec<f32>,
    /// Ids of the rows, the last ones too, which are only ever targets.
    pub tokens: usize,
}

impl Batch {
    /// Joins rows; `completion_only` leaves the prompts' tokens out of the loss.
    pub fn new(rows: &[&Tokens], completion_only: bool) -> Self {
        let mut batch = Self::default();
        for row in rows {
            batch.tokens += row.input_ids.len();
            // Padding on the right cannot reach a real position.
            let real = row.attention_mask.iter().rposition(|&mask| mask == 1).map_or(0, |last| last + 1);
            let Some(length) = real.checked_sub(1).filter(|length| *length > 0) else { continue };
            batch.lengths.push(length);
            batch.inputs.extend_from_slice(&row.input_ids[..length]);
            batch.targets.extend_from_slice(&row.labels[1..real]);
            batch.weights.extend((1..real).map(|position| {
                let learnt = row.attention_mask[position] == 1 && !(completion_only && position < row.prompt_length);
                f32::from(u8::from(learnt))
            }));
        }
        batch
    }

    /// The same rows in batches of at most `tokens` input ids, or of one longer row: the same sum of losses, computed in
    /// pieces that stay in the processor's caches and are not too small for its threads.
    pub fn regroup(batches: &[Self], tokens: usize) -> Vec<Self> {
        let mut groups: Vec<Self> = Vec::new();
        for batch in batches {
            let mut start = 0;
            for &length in &batch.lengths {
                let own = start..start + length;
                start += length;
                if groups.last().is_none_or(|group| group.inputs.len() + length > tokens) {
                    groups.push(Self::default());
                }
                let Some(group) = groups.last_mut() else { continue };
                group.lengths.push(length);
                group.inputs.extend_from_slice(&batch.inputs[own.clone()]);
                group.targets.extend_from_slice(&batch.targets[own.clone()]);
                group.weights.extend_from_slice(&batch.weights[own]);
            }
        }
        groups
    }

    /// Number of predicted tokens that count.
    pub fn predicted(&self) -> f64 {
        self.weights.iter().map(|&weight| f64::from(weight)).sum()
    }

    /// What each position should predict.
    pub fn targets(&self, smoothing: f32) -> Targets<'_> {
        Targets { ids: &self.targets, weights: &self.weights, smoothing }
    }

    /// The batch for a backward pass without noise, smoothing or checkpointing.
    pub fn lesson(&self) -> Lesson<'_> {
        Lesson { inputs: &self.inputs, lengths: &self.lengths, targets: self.targets(0.0), checkpointing: false, noise: 0.0 }
    }
}

/// The row order of an epoch: shuffled by seed and epoch; `group` sorts runs of 50 batches by length, longest first.
pub fn epoch_order(rows: &[Tokens], batch_size: usize, group: bool, seed: u64, epoch: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    let mut random = Pcg64::new(seed.wrapping_mul(0x9e37_79b9).wrapping_add(epoch as u64));
    for last in (1..order.len()).rev() {
        order.swap(last, (random.next_f64() * (last + 1) as f64) as usize);
    }
    if group {
        for run in order.chunks_mut(50 * batch_size) {
            run.sort_by_key(|&row| std::cmp::Reverse(rows[row].input_ids.len()));
            // Batches of similar rows, but not from long to short.
            let mut batches: Vec<Vec<usize>> = run.chunks(batch_size).map(<[usize]>::to_vec).collect();
            let last = batches.len() - 1;
            for index in (1..last).rev() {
                batches.swap(index, (random.next_f64() * (index + 1) as f64) as usize);
            }
            run.copy_from_slice(&batches.concat());
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(ids: &[u32], prompt_length: usize) -> Tokens {
        Tokens { input_ids: ids.to_vec(), attention_mask: vec![1; ids.len()], labels: ids.to_vec(), prompt_length }
    }

    #[test]
    fn targets_are_shifted_and_rows_are_not_padded() {
        let (long, mut short) = (tokens(&[5, 6, 7, 8], 2), tokens(&[9, 4, 0, 0], 1));
        short.attention_mask = vec![1, 1, 0, 0];
        let batch = Batch::new(&[&long, &short, &tokens(&[3], 0)], false);
        assert_eq!((batch.lengths.as_slice(), batch.tokens), ([3, 1].as_slice(), 9));
        assert_eq!(batch.inputs, [5, 6, 7, 9]);
        assert_eq!(batch.targets, [6, 7, 8, 4]);
        assert_eq!(batch.weights, [1.0, 1.0, 1.0, 1.0]);
        assert_eq!(Batch::new(&[&long, &short], true).weights, [0.0, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn regrouped_rows_are_the_same_rows() {
        let rows: Vec<Tokens> = [4, 3, 9, 2].iter().map(|&length| tokens(&(0..length).collect::<Vec<_>>(), 0)).collect();
        let batches = [Batch::new(&[&rows[0], &rows[1], &rows[2]], false), Batch::new(&[&rows[3]], false)];
        let groups = Batch::regroup(&batches, 6);
        assert_eq!(groups.iter().map(|batch| batch.lengths.clone()).collect::<Vec<_>>(), [vec![3, 2], vec![8], vec![1]]);
        let inputs = |batches: &[Batch]| batches.iter().flat_map(|batch| batch.inputs.clone()).collect::<Vec<u32>>();
        assert_eq!(inputs(&groups), inputs(&batches));
    }

    #[test]
    fn every_epoch_visits_every_row_once() {
        let rows: Vec<Tokens> = (0..103).map(|i| tokens(&vec![1; 1 + i % 7], 0)).collect();
        for group in [false, true] {
            let mut order = epoch_order(&rows, 4, group, 42, 1);
            assert_ne!(order, epoch_order(&rows, 4, group, 42, 2));
            order.sort_unstable();
            assert_eq!(order, (0..103).collect::<Vec<_>>());
        }
    }
}
