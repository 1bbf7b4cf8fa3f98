//! Query, key and value columns of rows → context rows, with gradients: fused where the backend fuses, composed elsewhere.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Result, Tensor};

use crate::nn::attention::cache::KvCache;
use crate::nn::attention::composed;
use crate::nn::attention::fused::{Attention, CachedAttention};
use crate::nn::attention::shape::AttentionShape;
use crate::nn::tape::Pass;

/// Causal attention with rotary positions: `qkv (N, (H+2G)·D)` → context `(N, H·D)`.
///
/// # Errors
/// candle's, where the shapes do not fit.
pub fn attention(pass: &Pass, qkv: &Tensor, shape: &AttentionShape) -> Result<Tensor> {
    if pass.backend().is_fused() {
        return pass.apply1(qkv, Attention(shape.clone()));
    }
    composed::attention(pass.backend(), qkv, shape, &mut [])
}

/// [`attention`] of new positions over those in the caches of one layer, which grow by them; no gradient. A sequence without
/// a cache gets one.
///
/// # Errors
/// candle's, where the shapes do not fit.
pub fn attention_cached(pass: &Pass, qkv: &Tensor, shape: &AttentionShape, caches: &Arc<Mutex<Vec<KvCache>>>) -> Result<Tensor> {
    if pass.backend().is_fused() {
        return qkv.contiguous()?.apply_op1_no_bwd(&CachedAttention { shape: shape.clone(), caches: caches.clone() });
    }
    let mut caches = caches.lock().unwrap_or_else(PoisonError::into_inner);
    caches.resize_with(shape.lengths.len(), Default::default);
    composed::attention(pass.backend(), qkv, shape, &mut caches)
}
