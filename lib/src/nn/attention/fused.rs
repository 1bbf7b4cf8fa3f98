//! Query, key and value columns of rows → context rows: causal attention with rotary positions, with gradients.
//!
//! Sequences of any lengths stand one after the other, without padding; a position sees its own sequence alone. Heads
//! may share keys and values (Ainslie et al. 2023).

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use crate::nn::attention::cache::{KeysAndValues, KvCache};
use crate::nn::attention::shape::AttentionShape;
use crate::nn::parameter::values;
use crate::nn::rotary::Angles;
use compute::cpu::attention::{attend, attend_backward};

impl AttentionShape {
    /// The angles of all positions, where none stands more than `offset` positions after the start of its rows.
    fn angles(&self, offset: usize) -> Arc<Angles> {
        self.rotary.angles(offset + self.lengths.iter().max().copied().unwrap_or(0))
    }

    /// `length` rows of one part, `(T,D)`, rotated from position `offset`.
    fn gather(&self, rows: &[f32], length: usize, part: usize, index: usize, offset: usize, angles: &Angles) -> Vec<f32> {
        let (size, column) = (self.head_size, self.column(part, index));
        let mut out = Vec::with_capacity(length * size);
        for (position, row) in rows.chunks_exact(self.input_width()).take(length).enumerate() {
            out.extend_from_slice(&row[column..column + size]);
            if part < 2 {
                angles.turn(&mut out[position * size..], offset + position, 1.0);
            }
        }
        out
    }

    /// The context `(N, H·D)`.
    pub fn forward(&self, qkv: &[f32]) -> Vec<f32> {
        let (work, angles) = (self.work(), self.angles(0));
        let context = |&(start, length, group): &(usize, usize, usize)| {
            let rows = &qkv[start * self.input_width()..];
            let part = |part, index| self.gather(rows, length, part, index, 0, &angles);
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
        let (size, width, work, angles) = (self.head_size, self.output_width(), self.work(), self.angles(0));
        let grads = |&(start, length, group): &(usize, usize, usize)| {
            let rows = &qkv[start * self.input_width()..];
            let part = |part, index| self.gather(rows, length, part, index, 0, &angles);
            let (key, value) = (part(1, group), part(2, group));
            let (mut key_grad, mut value_grad) = (vec![0f32; length * size], vec![0f32; length * size]);
            let turn_back = |grad: &mut [f32]| {
                grad.chunks_exact_mut(size).enumerate().for_each(|(position, grad)| angles.turn(grad, position, -1.0));
            };
            let mut columns = Vec::new();
            for head in self.heads_of(group) {
                let grad: Vec<f32> =
                    grad[start * width..].chunks_exact(width).take(length).flat_map(|row| &row[head * size..][..size]).copied().collect();
                let (query, mut query_grad) = (part(0, head), vec![0f32; length * size]);
                attend_backward([&query, &key, &value], &grad, &mut query_grad, [&mut key_grad, &mut value_grad], size, self.scores);
                turn_back(&mut query_grad);
                columns.push((self.column(0, head), query_grad));
            }
            turn_back(&mut key_grad);
            columns.extend([(self.column(1, group), key_grad), (self.column(2, group), value_grad)]);
            columns
        };
        let grads: Vec<Vec<(usize, Vec<f32>)>> = work.par_iter().map(grads).collect();
        let width = self.input_width();
        let mut out = vec![0f32; qkv.len()];
        for ((start, ..), columns) in work.iter().zip(&grads) {
            for (column, grad) in columns {
                scatter(&mut out[start * width..], width, *column, grad, size);
            }
        }
        out
    }

    /// The context of new positions, `lengths` of each sequence, after those in its cache, which grows by them.
    pub fn forward_cached(&self, qkv: &[f32], caches: &mut [KvCache]) -> Vec<f32> {
        let size = self.head_size;
        let offsets: Vec<usize> = caches.iter().map(|cache| cache.length(size)).collect();
        let (work, angles) = (self.work(), self.angles(offsets.iter().copied().max().unwrap_or(0)));
        let pasts = caches.iter_mut().flat_map(|cache| {
            cache.heads.resize_with(self.kv_heads, Default::default);
            cache.heads.iter_mut()
        });
        let step = |(index, (&(start, length, group), past)): (usize, (&(usize, usize, usize), &mut KeysAndValues))| {
            let rows = &qkv[start * self.input_width()..];
            let part = |part, index, offset| self.gather(rows, length, part, index, offset, &angles);
            let offset = offsets[index / self.kv_heads];
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

pub(super) struct Attention(pub AttentionShape);
struct AttentionGrad(AttentionShape);

impl CustomOp1 for Attention {
    fn name(&self) -> &'static str {
        "causal_attention"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let context = self.0.forward(values(qkv, layout)?);
        Ok((CpuStorage::F32(context), Shape::from((self.0.rows(), self.0.output_width()))))
    }

    fn bwd(&self, qkv: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(qkv.apply_op2_no_bwd(&grad.contiguous()?, &AttentionGrad(self.0.clone()))?))
    }
}

impl CustomOp2 for AttentionGrad {
    fn name(&self) -> &'static str {
        "causal_attention_grad"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, lq: &Layout, grad: &CpuStorage, lg: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(self.0.backward(values(qkv, lq)?, values(grad, lg)?)), lq.shape().clone()))
    }
}

pub(super) struct CachedAttention {
    /// New positions of each sequence.
    pub shape: AttentionShape,
    /// One cache a sequence.
    pub caches: Arc<Mutex<Vec<KvCache>>>,
}

impl CustomOp1 for CachedAttention {
    fn name(&self) -> &'static str {
        "cached_attention"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let mut caches = self.caches.lock().unwrap_or_else(PoisonError::into_inner);
        caches.resize_with(self.shape.lengths.len(), Default::default);
        let context = self.shape.forward_cached(values(qkv, layout)?, &mut caches);
        Ok((CpuStorage::F32(context), Shape::from((self.shape.rows(), self.shape.output_width()))))
    }
}

/// Writes `(T,D)` rows into columns of wider rows.
fn scatter(out: &mut [f32], width: usize, column: usize, rows: &[f32], size: usize) {
    for (out, row) in out.chunks_exact_mut(width).zip(rows.chunks_exact(size)) {
        out[column..column + size].copy_from_slice(row);
    }
}
