//! Positions that a layer has seen → their keys and values, which new positions look back at.

use candle_core::Tensor;

/// `(positions, D)` each.
pub(super) type KeysAndValues = (Vec<f32>, Vec<f32>);

/// Keys (rotated) and values of the positions that one layer has seen: per group `(positions, D)`, one sequence.
#[derive(Debug, Clone, Default)]
pub struct KvCache {
    pub(super) heads: Vec<KeysAndValues>,
    /// The same on another device, `(G, positions, D)` each.
    pub(super) tensors: Option<(Tensor, Tensor)>,
}

impl KvCache {
    /// Number of positions in the cache.
    pub fn length(&self, head_size: usize) -> usize {
        self.heads.first().map_or(0, |(key, _)| key.len() / head_size)
    }
}
