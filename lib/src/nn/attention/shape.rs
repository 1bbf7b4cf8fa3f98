//! How an attention call is laid out: which sequences stand in its rows, and where heads stand in a row.

use std::sync::Arc;

use compute::cpu::attention::Scores;

use crate::nn::rotary::Rotary;

/// Where a head's query, key and value stand in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Columns {
    /// Head by head, query, key and value: GPT-NeoX.
    Interleaved,
    /// All queries, then all keys, then all values: Llama.
    Blocks,
}

/// The shape of an attention call.
#[derive(Debug, Clone)]
pub struct AttentionShape {
    /// Positions of each sequence.
    pub lengths: Arc<[usize]>,
    /// Heads, H.
    pub heads: usize,
    /// Heads of keys and values, G; H is a multiple.
    pub kv_heads: usize,
    /// Dimensions of a head, D.
    pub head_size: usize,
    /// Where they stand.
    pub columns: Columns,
    /// The angles of all positions.
    pub rotary: Arc<Rotary>,
    /// What a query makes of the keys.
    pub scores: Scores,
}

impl AttentionShape {
    /// Columns of a row of `qkv`: query, key and value of all heads.
    pub fn input_width(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.head_size
    }

    /// Columns of a row of the context.
    pub fn output_width(&self) -> usize {
        self.heads * self.head_size
    }

    /// Rows of all sequences, N.
    pub fn rows(&self) -> usize {
        self.lengths.iter().sum()
    }

    /// First column of a part of a head (query) or group (key, value).
    pub fn column(&self, part: usize, index: usize) -> usize {
        let place = match (self.columns, part) {
            (Columns::Interleaved, part) => 3 * index + part,
            (Columns::Blocks, 0) => index,
            (Columns::Blocks, 1) => self.heads + index,
            (Columns::Blocks, _) => self.heads + self.kv_heads + index,
        };
        place * self.head_size
    }

    /// (first row, length, group) of every piece of work.
    pub(super) fn work(&self) -> Vec<(usize, usize, usize)> {
        let mut start = 0;
        let mut work = Vec::with_capacity(self.lengths.len() * self.kv_heads);
        for &length in self.lengths.iter() {
            work.extend((0..self.kv_heads).map(|group| (start, length, group)));
            start += length;
        }
        work
    }

    /// The heads that share keys and values of a group.
    pub(super) fn heads_of(&self, group: usize) -> std::ops::Range<usize> {
        let each = self.heads / self.kv_heads;
        group * each..(group + 1) * each
    }
}
