//! Attention from candle's own differentiable operations, on any device: the plain form of what is fused on the CPU.
//! Where a device has kernels of ours, they stand in for the parts that they know.

use candle_core::{D, Result, Tensor};

use crate::nn::attention::cache::KvCache;
use crate::nn::attention::kernel;
use crate::nn::attention::shape::AttentionShape;
use crate::nn::backend::Backend;
use crate::nn::rotary::Rotary;

/// Causal attention with rotary positions, sequence by sequence: `qkv (N, (H+2G)·D)` → context `(N, H·D)`. With caches, one
/// a sequence, the positions follow those in the caches, which grow by them.
///
/// # Errors
/// candle's, where the shapes do not fit.
pub fn attention(backend: Backend, qkv: &Tensor, shape: &AttentionShape, caches: &mut [KvCache]) -> Result<Tensor> {
    let mut contexts = Vec::with_capacity(shape.lengths.len());
    let mut start = 0;
    for (index, &time) in shape.lengths.iter().enumerate() {
        let rows = qkv.narrow(0, start, time)?;
        contexts.push(sequence(backend, &rows, shape, caches.get_mut(index))?);
        start += time;
    }
    Tensor::cat(&contexts, 0)
}

fn sequence(backend: Backend, rows: &Tensor, shape: &AttentionShape, cache: Option<&mut KvCache>) -> Result<Tensor> {
    let (heads, kv_heads, size, time) = (shape.heads, shape.kv_heads, shape.head_size, rows.dim(0)?);
    let part = |part: usize, count: usize| -> Result<Tensor> {
        let columns = (0..count).map(|index| rows.narrow(1, shape.column(part, index), size));
        Tensor::stack(&columns.collect::<Result<Vec<Tensor>>>()?, 0)
    };
    let past = cache.as_ref().and_then(|cache| cache.tensors.clone());
    let offset = past.as_ref().map_or(Ok(0), |(key, _)| key.dim(1))?;
    let kernels = backend.as_kernels();
    let (query, mut key, mut value) = match kernels {
        Some(kernels) => kernel::heads(kernels, rows, shape, offset)?,
        None => {
            let turned = |kind: usize, count: usize| rotate(&part(kind, count)?, &shape.rotary, offset);
            (turned(0, heads)?, turned(1, kv_heads)?, part(2, kv_heads)?)
        }
    };
    if let Some((past_key, past_value)) = past {
        (key, value) = (Tensor::cat(&[&past_key, &key], 1)?, Tensor::cat(&[&past_value, &value], 1)?);
    }
    if let Some(cache) = cache {
        cache.tensors = Some((key.clone(), value.clone()));
    }
    let seen = offset + time;
    let each_head = |x: &Tensor| x.unsqueeze(1)?.expand((kv_heads, heads / kv_heads, seen, size))?.reshape((heads, seen, size));
    let (key, value) = (each_head(&key)?, each_head(&value)?);
    let products = backend.product(&query, &key.t()?)?;
    let probabilities = match kernels {
        Some(kernels) => kernel::softmax(kernels, &products, shape.scores, offset)?,
        None => softmax(&products, shape, offset)?,
    };
    let context = backend.product(&probabilities, &value)?;
    context.transpose(0, 1)?.reshape((time, heads * size))
}

/// Products of queries from position `offset` on with keys, `(H,T,S)` → probabilities.
fn softmax(products: &Tensor, shape: &AttentionShape, offset: usize) -> Result<Tensor> {
    let (_, time, seen) = products.dims3()?;
    let mut scores = (products * f64::from(shape.scores.scale))?;
    if let Some(cap) = shape.scores.cap {
        scores = ((scores / f64::from(cap))?.tanh()? * f64::from(cap))?;
    }
    let sees = |i: usize| shape.scores.visible(offset + i / seen).contains(&(i % seen));
    let mask: Vec<f32> = (0..time * seen).map(|i| if sees(i) { 0.0 } else { f32::NEG_INFINITY }).collect();
    let scores = scores.broadcast_add(&Tensor::from_vec(mask, (time, seen), products.device())?)?;
    candle_nn::ops::softmax(&scores, D::Minus1)
}

/// Rotary positions on the first dimensions of `x (H,T,D)`, from position `offset`.
fn rotate(x: &Tensor, rotary: &Rotary, offset: usize) -> Result<Tensor> {
    let (_, time, size) = x.dims3()?;
    let half = rotary.half();
    if half == 0 {
        return Ok(x.clone());
    }
    let angles = rotary.angles(offset + time);
    let (cos, sin) = angles.rows(offset, time);
    let table = |values: &[f32]| Tensor::from_slice(values, (time, half), x.device());
    let (cos, sin) = (table(cos)?, table(sin)?);
    let (first, second) = (x.narrow(D::Minus1, 0, half)?, x.narrow(D::Minus1, half, half)?);
    let turned = (first.broadcast_mul(&cos)? - second.broadcast_mul(&sin)?)?;
    let other = (second.broadcast_mul(&cos)? + first.broadcast_mul(&sin)?)?;
    let rest = x.narrow(D::Minus1, 2 * half, size - 2 * half)?;
    if size == 2 * half { Tensor::cat(&[&turned, &other], D::Minus1) } else { Tensor::cat(&[&turned, &other, &rest], D::Minus1) }
}
