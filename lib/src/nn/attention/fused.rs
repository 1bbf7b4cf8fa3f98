//! Query, key and value columns of rows → context rows: causal attention with rotary positions, with gradients.
//!
//! Sequences of any lengths stand one after the other, without padding; a position sees its own sequence alone. Heads
//! may share keys and values (Ainslie et al. 2023).

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Shape, Tensor};
use rayon::prelude::*;

use crate::nn::attention::composed;
use crate::nn::backend::is_fused;
use crate::nn::parameter::values;
use crate::nn::rotary::Rotary;
use crate::nn::tape;
use compute::cpu::attention::{Scores, attend, attend_backward};

type Answer<T> = candle_core::Result<T>;

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
    pub groups: usize,
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
    /// Columns of a row of `qkv`.
    fn input_width(&self) -> usize {
        (self.heads + 2 * self.groups) * self.head_size
    }

    fn output_width(&self) -> usize {
        self.heads * self.head_size
    }

    fn rows(&self) -> usize {
        self.lengths.iter().sum()
    }

    /// First column of a part of a head (query) or group (key, value).
    pub(crate) fn column(&self, part: usize, index: usize) -> usize {
        let place = match (self.columns, part) {
            (Columns::Interleaved, part) => 3 * index + part,
            (Columns::Blocks, 0) => index,
            (Columns::Blocks, 1) => self.heads + index,
            (Columns::Blocks, _) => self.heads + self.groups + index,
        };
        place * self.head_size
    }

    /// (first row, length, group) of every piece of work.
    fn work(&self) -> Vec<(usize, usize, usize)> {
        let mut start = 0;
        let mut work = Vec::with_capacity(self.lengths.len() * self.groups);
        for &length in self.lengths.iter() {
            work.extend((0..self.groups).map(|group| (start, length, group)));
            start += length;
        }
        work
    }

    /// `length` rows of one part, `(T,D)`, rotated from position `offset`.
    fn gather(&self, rows: &[f32], length: usize, part: usize, index: usize, offset: usize) -> Vec<f32> {
        let (size, column) = (self.head_size, self.column(part, index));
        let mut out = Vec::with_capacity(length * size);
        for (position, row) in rows.chunks_exact(self.input_width()).take(length).enumerate() {
            out.extend_from_slice(&row[column..column + size]);
            if part < 2 {
                self.rotary.turn(&mut out[position * size..], offset + position, 1.0);
            }
        }
        out
    }

    fn heads_of(&self, group: usize) -> std::ops::Range<usize> {
        let each = self.heads / self.groups;
        group * each..(group + 1) * each
    }

    /// The context `(N, H·D)`.
    pub fn forward(&self, qkv: &[f32]) -> Vec<f32> {
        let work = self.work();
        let context = |&(start, length, group): &(usize, usize, usize)| {
            let rows = &qkv[start * self.input_width()..];
            let part = |part, index| self.gather(rows, length, part, index, 0);
            let (key, value) = (part(1, group), part(2, group));
            self.heads_of(group).map(|head| self.head_context(&part(0, head), &key, &value)).collect::<Vec<_>>()
        };
        let contexts: Vec<Vec<Vec<f32>>> = work.par_iter().map(context).collect();
        self.collect(&work, &contexts)
    }

    fn head_context(&self, query: &[f32], key: &[f32], value: &[f32]) -> Vec<f32> {
        let mut context = vec![0f32; query.len()];
        attend(query, key, value, &mut context, self.head_size, self.scores);
        context
    }

    /// The contexts of all heads in their columns.
    fn collect(&self, work: &[(usize, usize, usize)], contexts: &[Vec<Vec<f32>>]) -> Vec<f32> {
        let (size, width) = (self.head_size, self.output_width());
        let mut out = vec![0f32; self.rows() * width];
        for ((start, _, group), contexts) in work.iter().zip(contexts) {
            for (head, context) in self.heads_of(*group).zip(contexts) {
                scatter(&mut out[start * width..], width, head * size, context, size);
            }
        }
        out
    }

    /// The gradient by `qkv`, from the gradient of the context.
    pub fn backward(&self, qkv: &[f32], grad: &[f32]) -> Vec<f32> {
        let (size, width, work) = (self.head_size, self.output_width(), self.work());
        let slopes = |&(start, length, group): &(usize, usize, usize)| {
            let rows = &qkv[start * self.input_width()..];
            let part = |part, index| self.gather(rows, length, part, index, 0);
            let (key, value) = (part(1, group), part(2, group));
            let (mut key_slope, mut value_slope) = (vec![0f32; length * size], vec![0f32; length * size]);
            let turn_back = |slope: &mut [f32]| {
                slope.chunks_exact_mut(size).enumerate().for_each(|(position, slope)| self.rotary.turn(slope, position, -1.0));
            };
            let mut columns = Vec::new();
            for head in self.heads_of(group) {
                let grad: Vec<f32> =
                    grad[start * width..].chunks_exact(width).take(length).flat_map(|row| &row[head * size..][..size]).copied().collect();
                let (query, mut query_slope) = (part(0, head), vec![0f32; length * size]);
                attend_backward([&query, &key, &value], &grad, &mut query_slope, [&mut key_slope, &mut value_slope], size, self.scores);
                turn_back(&mut query_slope);
                columns.push((self.column(0, head), query_slope));
            }
            turn_back(&mut key_slope);
            columns.extend([(self.column(1, group), key_slope), (self.column(2, group), value_slope)]);
            columns
        };
        let slopes: Vec<Vec<(usize, Vec<f32>)>> = work.par_iter().map(slopes).collect();
        let width = self.input_width();
        let mut out = vec![0f32; qkv.len()];
        for ((start, ..), columns) in work.iter().zip(&slopes) {
            for (column, slope) in columns {
                scatter(&mut out[start * width..], width, *column, slope, size);
            }
        }
        out
    }

    /// The context of new positions, `lengths` of each sequence, after those in its cache, which grows by them.
    pub fn forward_cached(&self, qkv: &[f32], caches: &mut [LayerCache]) -> Vec<f32> {
        let size = self.head_size;
        let offsets: Vec<usize> = caches.iter().map(|cache| cache.length(size)).collect();
        let work = self.work();
        let pasts = caches.iter_mut().flat_map(|cache| {
            cache.heads.resize_with(self.groups, Default::default);
            cache.heads.iter_mut()
        });
        let step = |(index, (&(start, length, group), past)): (usize, (&(usize, usize, usize), &mut KeysAndValues))| {
            let rows = &qkv[start * self.input_width()..];
            let part = |part, index, offset| self.gather(rows, length, part, index, offset);
            let offset = offsets[index / self.groups];
            past.0.extend(part(1, group, offset));
            past.1.extend(part(2, group, offset));
            self.heads_of(group).map(|head| self.head_context(&part(0, head, offset), &past.0, &past.1)).collect::<Vec<_>>()
        };
        let pairs: Vec<_> = work.iter().zip(pasts).enumerate().collect();
        // One new position is too little work to wake other threads.
        let contexts: Vec<Vec<Vec<f32>>> = match self.rows() {
            1 => pairs.into_iter().map(step).collect(),
            _ => pairs.into_par_iter().map(step).collect(),
        };
        self.collect(&work, &contexts)
    }
}

/// Writes `(T,D)` rows into columns of wider rows.
fn scatter(out: &mut [f32], width: usize, column: usize, rows: &[f32], size: usize) {
    for (out, row) in out.chunks_exact_mut(width).zip(rows.chunks_exact(size)) {
        out[column..column + size].copy_from_slice(row);
    }
}

/// `(positions, D)` each.
type KeysAndValues = (Vec<f32>, Vec<f32>);

/// Keys (rotated) and values of the positions that one layer has seen: per group `(positions, D)`, one sequence.
#[derive(Debug, Clone, Default)]
pub struct LayerCache {
    heads: Vec<KeysAndValues>,
    /// The same on another device, `(G, positions, D)` each.
    pub(crate) tensors: Option<(Tensor, Tensor)>,
}

impl LayerCache {
    /// Number of positions in the cache.
    pub fn length(&self, head_size: usize) -> usize {
        self.heads.first().map_or(0, |(key, _)| key.len() / head_size)
    }
}

struct Attention(AttentionShape);
struct AttentionGrad(AttentionShape);

impl CustomOp1 for Attention {
    fn name(&self) -> &'static str {
        "causal_attention"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Answer<(CpuStorage, Shape)> {
        let context = self.0.forward(values(qkv, layout)?);
        Ok((CpuStorage::F32(context), Shape::from((self.0.rows(), self.0.output_width()))))
    }

    fn bwd(&self, qkv: &Tensor, _: &Tensor, grad: &Tensor) -> Answer<Option<Tensor>> {
        Ok(Some(qkv.apply_op2_no_bwd(&grad.contiguous()?, &AttentionGrad(self.0.clone()))?))
    }
}

impl CustomOp2 for AttentionGrad {
    fn name(&self) -> &'static str {
        "causal_attention_grad"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, lq: &Layout, grad: &CpuStorage, lg: &Layout) -> Answer<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(self.0.backward(values(qkv, lq)?, values(grad, lg)?)), lq.shape().clone()))
    }
}

/// Causal attention with rotary positions: `qkv (N, (H+2G)·D)` → context `(N, H·D)`.
pub fn attention(qkv: &Tensor, shape: &AttentionShape) -> Answer<Tensor> {
    if is_fused(qkv.device()) {
        return tape::apply1(qkv, Attention(shape.clone()));
    }
    composed::attention(qkv, shape, &mut [])
}

/// [`attention`] of new positions over those in the caches of one layer, which grow by them; no gradient. A sequence without
/// a cache gets one.
pub fn attention_cached(qkv: &Tensor, shape: &AttentionShape, caches: &Arc<Mutex<Vec<LayerCache>>>) -> Answer<Tensor> {
    if is_fused(qkv.device()) {
        return qkv.contiguous()?.apply_op1_no_bwd(&CachedAttention { shape: shape.clone(), caches: caches.clone() });
    }
    let mut caches = caches.lock().unwrap_or_else(PoisonError::into_inner);
    caches.resize_with(shape.lengths.len(), Default::default);
    composed::attention(qkv, shape, &mut caches)
}

struct CachedAttention {
    /// New positions of each sequence.
    shape: AttentionShape,
    /// One cache a sequence.
    caches: Arc<Mutex<Vec<LayerCache>>>,
}

impl CustomOp1 for CachedAttention {
    fn name(&self) -> &'static str {
        "cached_attention"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Answer<(CpuStorage, Shape)> {
        let mut caches = self.caches.lock().unwrap_or_else(PoisonError::into_inner);
        caches.resize_with(self.shape.lengths.len(), Default::default);
        let context = self.shape.forward_cached(values(qkv, layout)?, &mut caches);
        Ok((CpuStorage::F32(context), Shape::from((self.shape.rows(), self.shape.output_width()))))
    }
}
