//! Lengths of rows → which rows are computed as one sequence: best fit, decreasing.
//!
//! Attention keeps the rows of a sequence apart and positions begin anew with each ([`crate::train::batch`]), so packing changes
//! no loss: it lets a step hold as many rows as fit, and saves optimizer steps.

use std::collections::{BTreeMap, VecDeque};

/// Rows, by index, of each sequence of at most `capacity` ids: the longest row goes first, each into the sequence that it fills
/// best, as TRL's `bfd` packs them. A longer row is a sequence of its own.
pub fn pack(lengths: &[usize], capacity: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&row| std::cmp::Reverse(lengths[row]));
    let mut sequences: Vec<Vec<usize>> = Vec::new();
    // Sequences by the ids that they have room for, the oldest first.
    let mut room: BTreeMap<usize, VecDeque<usize>> = BTreeMap::new();
    for row in order {
        let best = room.range_mut(lengths[row].max(1)..).next().and_then(|(&left, waiting)| Some((left, waiting.pop_front()?)));
        let (left, sequence) = best.unwrap_or((capacity, sequences.len()));
        if sequence == sequences.len() {
            sequences.push(Vec::new());
        } else if room.get(&left).is_some_and(VecDeque::is_empty) {
            room.remove(&left);
        }
        sequences[sequence].push(row);
        room.entry(left.saturating_sub(lengths[row])).or_default().push_back(sequence);
    }
    sequences
}
