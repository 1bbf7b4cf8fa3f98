//! Tokenized rows → micro-batches: padded ids, targets shifted by one, and a weight for every predicted token.

use crate::data::split::Pcg64;
use crate::tokenizer::encode::Tokens;

/// B rows of T ids each, row-major `(B,T)`; a weight of 0 marks what is not learnt (padding, prompt, last position).
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Number of rows, B.
    pub rows: usize,
    /// Input ids, padded on the right: with causal attention padding cannot reach a real position.
    pub inputs: Vec<u32>,
    /// The id that follows each input.
    pub targets: Vec<u32>,
    /// 1 where the target counts, else 0.
    pub weights: Vec<f32>,
    /// Real input ids.
    pub tokens: usize,
}

impl Batch {
    /// Pads rows to the longest; `completion_only` leaves the prompt's tokens out of the loss.
    pub fn new(rows: &[&Tokens], completion_only: bool) -> Self {
        // The last id of a row is only ever a target.
        let time = rows.iter().map(|row| row.input_ids.len().saturating_sub(1)).max().unwrap_or(0).max(1);
        let mut batch = Self {
            rows: rows.len(),
            inputs: vec![0; rows.len() * time],
            targets: vec![0; rows.len() * time],
            weights: vec![0.0; rows.len() * time],
            tokens: 0,
        };
        for (index, row) in rows.iter().enumerate() {
            let start = index * time;
            batch.tokens += row.input_ids.len();
            let inputs = &row.input_ids[..row.input_ids.len().min(time)];
            batch.inputs[start..start + inputs.len()].copy_from_slice(inputs);
            for (position, label) in row.labels.iter().enumerate().skip(1) {
                batch.targets[start + position - 1] = *label;
                let learnt = row.attention_mask[position] == 1 && !(completion_only && position < row.prompt_length);
                batch.weights[start + position - 1] = f32::from(u8::from(learnt));
            }
        }
        batch
    }

    /// Number of predicted tokens that count.
    pub fn predicted(&self) -> f64 {
        self.weights.iter().map(|&weight| f64::from(weight)).sum()
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
    fn targets_are_shifted_and_padding_has_no_weight() {
        let (long, short) = (tokens(&[5, 6, 7, 8], 2), tokens(&[9, 4], 1));
        let batch = Batch::new(&[&long, &short], false);
        assert_eq!(batch.inputs, [5, 6, 7, 9, 4, 0]);
        assert_eq!(batch.targets, [6, 7, 8, 4, 0, 0]);
        assert_eq!(batch.weights, [1.0, 1.0, 1.0, 1.0, 0.0, 0.0]);
        assert_eq!(Batch::new(&[&long, &short], true).weights, [0.0, 1.0, 1.0, 1.0, 0.0, 0.0]);
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
