//! (lengths of rows, arguments, step) → the rows of the step: a function of these alone, so that a resumed run sees the same ones.
//!
//! With packing, what is drawn are sequences of rows.

use crate::train::arguments::settings::{SamplingStrategy, TrainingArguments};
use crate::train::packing::pack;
use crate::util::rng::Pcg64;

/// Says which rows come when.
#[derive(Debug, Clone, Default)]
pub struct Sampler {
    /// Ids of each item that is drawn.
    lengths: Vec<usize>,
    /// The rows of each item, where it may have several.
    packed: Option<Vec<Vec<usize>>>,
    /// The order of one epoch, made when it is first needed.
    order: Option<(usize, Vec<usize>)>,
}

impl Sampler {
    /// A sampler of rows with these numbers of input ids.
    pub fn new(lengths: Vec<usize>) -> Self {
        Self { lengths, packed: None, order: None }
    }

    /// A sampler of rows by the input ids of each of their sequences, or with a `capacity` of packed sequences of at most so many
    /// ids: an id of each row is only ever predicted.
    pub fn of(lengths: &[Vec<usize>], capacity: Option<usize>) -> Self {
        let Some(capacity) = capacity else {
            return Self::new(lengths.iter().map(|row| row.first().copied().unwrap_or(0)).collect());
        };
        let ids: Vec<usize> = lengths.iter().map(|row| row.iter().map(|inputs| inputs + 1).sum()).collect();
        let packed = pack(&ids, capacity);
        let length = |rows: &Vec<usize>| rows.iter().map(|&row| ids[row]).sum();
        Self { lengths: packed.iter().map(length).collect(), packed: Some(packed), order: None }
    }

    /// What an epoch draws: rows, or with packing sequences.
    pub fn items(&self) -> usize {
        self.lengths.len()
    }

    /// Indices of the rows of a step, counted from 0.
    pub fn rows(&mut self, step: usize, arguments: &TrainingArguments) -> Vec<usize> {
        let (per_epoch, size) = (arguments.steps_per_epoch(self.lengths.len()), arguments.rows_per_step());
        let epoch = step / per_epoch;
        let lengths = &self.lengths;
        let order = || match arguments.train_sampling_strategy {
            SamplingStrategy::Sequential => (0..lengths.len()).collect(),
            _ => {
                let (rows, seed) = (arguments.per_device_train_batch_size, arguments.data_seed.unwrap_or(arguments.seed));
                epoch_order(lengths, rows, arguments.groups_by_length(), seed, epoch)
            }
        };
        if self.order.as_ref().is_none_or(|(own, _)| *own != epoch) {
            self.order = Some((epoch, order()));
        }
        let order = self.order.as_ref().map_or(&[][..], |(_, order)| order);
        let start = (step % per_epoch).saturating_mul(size).min(order.len());
        let drawn = &order[start..start.saturating_add(size).min(order.len())];
        match &self.packed {
            Some(packed) => drawn.iter().flat_map(|&item| packed[item].iter().copied()).collect(),
            None => drawn.to_vec(),
        }
    }
}

/// The row order of an epoch: shuffled by seed and epoch; `group` sorts runs of 50 batches by length, longest first.
fn epoch_order(lengths: &[usize], batch_size: usize, group: bool, seed: u64, epoch: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    let mut random = Pcg64::new(seed.wrapping_mul(0x9e37_79b9).wrapping_add(epoch as u64));
    for last in (1..order.len()).rev() {
        order.swap(last, (random.next_f64() * (last + 1) as f64) as usize);
    }
    if group {
        for run in order.chunks_mut(batch_size.saturating_mul(50)) {
            run.sort_by_key(|&row| std::cmp::Reverse(lengths[row]));
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

    #[test]
    fn every_epoch_visits_every_row_once() {
        let lengths: Vec<usize> = (0..103).map(|i| 1 + i % 7).collect();
        for group in [false, true] {
            let mut order = epoch_order(&lengths, 4, group, 42, 1);
            assert_ne!(order, epoch_order(&lengths, 4, group, 42, 2));
            order.sort_unstable();
            assert_eq!(order, (0..103).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_rows_of_a_step_do_not_depend_on_what_was_asked_before() {
        let arguments = TrainingArguments { per_device_train_batch_size: 4, ..Default::default() };
        let (mut fresh, mut used) = (Sampler::new(vec![3; 10]), Sampler::new(vec![3; 10]));
        (0..5).for_each(|step| drop(used.rows(step, &arguments)));
        assert_eq!(fresh.rows(7, &arguments), used.rows(7, &arguments));
        assert_eq!(
            (fresh.rows(8, &arguments).len(), fresh.rows(6, &arguments).len()),
            (2, 4),
            "the third step of an epoch has what is left"
        );
    }
}
