//! Query, key and value rows → context rows: causal attention with rotary positions, forward and backward, on the CPU.
//!
//! `qkv` is `(B·T, H·3·D)`, laid out head by head as query, key, value: the layout of GPT-NeoX checkpoints. Rotary
//! positions turn the first dimensions of query and key (Su et al. 2021, in the half-split form of GPT-NeoX). The rows
//! of probabilities are made again in the backward pass, so memory stays linear in T.

use std::sync::Arc;

use rayon::prelude::*;

use crate::model::kernels::{axpy, dot, softmax};
use crate::model::simd::vectorised;

/// Cosines and sines of every position: `(positions, half)` each.
#[derive(Debug, Clone)]
pub struct Rotary {
    half: usize,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Rotary {
    /// The table for `dimensions` rotated dimensions (even) and this many positions; angles are `p · base^(−2i/d)`.
    pub fn new(dimensions: usize, positions: usize, base: f64) -> Self {
        let half = dimensions / 2;
        let angle = |index: usize| {
            let (position, i) = (index / half, index % half);
            let frequency = (1.0 / base.powf(2.0 * i as f64 / dimensions as f64)) as f32;
            position as f32 * frequency
        };
        let angles: Vec<f32> = (0..positions * half).map(angle).collect();
        Self { half, cos: angles.iter().map(|a| a.cos()).collect(), sin: angles.iter().map(|a| a.sin()).collect() }
    }

    /// Number of positions in the table.
    pub fn positions(&self) -> usize {
        self.cos.len().checked_div(self.half).unwrap_or(usize::MAX)
    }

    /// (cos, sin) tables, `(positions, half)` row-major.
    pub fn tables(&self) -> (&[f32], &[f32]) {
        (&self.cos, &self.sin)
    }

    /// Rotated dimensions of a head, halved.
    pub fn half(&self) -> usize {
        self.half
    }

    /// Turns the first dimensions of a head by the angle of `position`; `sign` −1 turns back.
    #[inline(always)]
    fn turn(&self, head: &mut [f32], position: usize, sign: f32) {
        let row = position * self.half..(position + 1) * self.half;
        let (first, second) = head[..2 * self.half].split_at_mut(self.half);
        for (((x, y), cos), sin) in first.iter_mut().zip(second).zip(&self.cos[row.clone()]).zip(&self.sin[row]) {
            let sin = sign * sin;
            (*x, *y) = (*x * cos - *y * sin, *y * cos + *x * sin);
        }
    }
}

/// The shape of an attention call.
#[derive(Debug, Clone)]
pub struct AttentionShape {
    /// Sequences, B.
    pub batch: usize,
    /// Positions of each, T.
    pub time: usize,
    /// Heads, H.
    pub heads: usize,
    /// Dimensions of a head, D.
    pub head_size: usize,
    /// The angles of all positions.
    pub rotary: Arc<Rotary>,
}

/// Query, key and value of one head, `(T,D)` each, rotated.
struct Head {
    query: Vec<f32>,
    key: Vec<f32>,
    value: Vec<f32>,
}

impl AttentionShape {
    fn width(&self) -> usize {
        self.heads * self.head_size
    }

    /// Start of a head's row in `qkv`.
    fn place(&self, sequence: usize, position: usize, head: usize) -> usize {
        ((sequence * self.time + position) * self.heads + head) * 3 * self.head_size
    }

    fn gather(&self, qkv: &[f32], sequence: usize, head: usize, offset: usize) -> Head {
        let size = self.head_size;
        let mut parts: [Vec<f32>; 3] = std::array::from_fn(|_| Vec::with_capacity(self.time * size));
        for position in 0..self.time {
            let row = &qkv[self.place(sequence, position, head)..][..3 * size];
            for (part, values) in parts.iter_mut().zip(row.chunks_exact(size)) {
                part.extend_from_slice(values);
            }
            for part in &mut parts[..2] {
                self.rotary.turn(&mut part[position * size..], offset + position, 1.0);
            }
        }
        let [query, key, value] = parts;
        Head { query, key, value }
    }

    /// The context `(B·T, H·D)`.
    pub fn forward(&self, qkv: &[f32]) -> Vec<f32> {
        let head = |index: usize| {
            let head = self.gather(qkv, index / self.heads, index % self.heads, 0);
            let mut context = vec![0f32; self.time * self.head_size];
            attend(&head.query, &head.key, &head.value, &mut context, self.head_size);
            context
        };
        let contexts: Vec<Vec<f32>> = (0..self.batch * self.heads).into_par_iter().map(head).collect();
        self.scatter(&contexts, self.head_size)
    }

    /// Rows of all heads `(B·H, T·stride)` → `(B·T, H·stride)`.
    fn scatter(&self, parts: &[Vec<f32>], stride: usize) -> Vec<f32> {
        let mut out = vec![0f32; self.batch * self.time * self.heads * stride];
        out.par_chunks_mut(self.heads * stride).enumerate().for_each(|(row, out)| {
            let (sequence, position) = (row / self.time, row % self.time);
            for (head, out) in out.chunks_exact_mut(stride).enumerate() {
                out.copy_from_slice(&parts[sequence * self.heads + head][position * stride..][..stride]);
            }
        });
        out
    }

    /// The gradient by `qkv`, from the gradient of the context.
    pub fn backward(&self, qkv: &[f32], grad: &[f32]) -> Vec<f32> {
        let (size, width) = (self.head_size, self.width());
        let one_head = |index: usize| {
            let (sequence, number) = (index / self.heads, index % self.heads);
            let head = self.gather(qkv, sequence, number, 0);
            let mut slope =
                Head { query: vec![0.0; self.time * size], key: vec![0.0; self.time * size], value: vec![0.0; self.time * size] };
            let context_grad: Vec<f32> = (0..self.time)
                .flat_map(|position| &grad[(sequence * self.time + position) * width + number * size..][..size])
                .copied()
                .collect();
            attend_backward(&head, &context_grad, &mut slope, size);
            let mut out = Vec::with_capacity(self.time * 3 * size);
            for position in 0..self.time {
                let own = position * size..(position + 1) * size;
                self.rotary.turn(&mut slope.query[own.clone()], position, -1.0);
                self.rotary.turn(&mut slope.key[own.clone()], position, -1.0);
                for part in [&slope.query, &slope.key, &slope.value] {
                    out.extend_from_slice(&part[own.clone()]);
                }
            }
            out
        };
        let grads: Vec<Vec<f32>> = (0..self.batch * self.heads).into_par_iter().map(one_head).collect();
        self.scatter(&grads, 3 * size)
    }

    /// The context of `time` new positions of one sequence after those already in the cache, which grows by them.
    pub fn forward_cached(&self, qkv: &[f32], cache: &mut LayerCache) -> Vec<f32> {
        let (size, time) = (self.head_size, self.time);
        let offset = cache.length(size);
        cache.heads.resize_with(self.heads, Default::default);
        let work = |(number, past): (usize, &mut (Vec<f32>, Vec<f32>))| {
            let head = self.gather(qkv, 0, number, offset);
            past.0.extend_from_slice(&head.key);
            past.1.extend_from_slice(&head.value);
            let mut context = vec![0f32; time * size];
            attend(&head.query, &past.0, &past.1, &mut context, size);
            context
        };
        // One new position is too little work to wake other threads.
        let contexts: Vec<Vec<f32>> = match time {
            1 => cache.heads.iter_mut().enumerate().map(work).collect(),
            _ => cache.heads.par_iter_mut().enumerate().map(work).collect(),
        };
        self.scatter(&contexts, size)
    }
}

/// Keys (rotated) and values of the positions that one layer has seen: per head `(positions, D)`, one sequence.
#[derive(Debug, Clone, Default)]
pub struct LayerCache {
    heads: Vec<(Vec<f32>, Vec<f32>)>,
}

impl LayerCache {
    /// Number of positions in the cache.
    pub fn length(&self, head_size: usize) -> usize {
        self.heads.first().map_or(0, |(key, _)| key.len() / head_size)
    }
}

vectorised! {
    /// The context of the last `query.len() / D` positions over all keys and values of a head, `(positions, D)` each.
    fn attend(query: &[f32], key: &[f32], value: &[f32], context: &mut [f32], size: usize) {
        let offset = (key.len() - query.len()) / size;
        let mut row = vec![0f32; key.len() / size];
        for (position, (query, out)) in query.chunks_exact(size).zip(context.chunks_exact_mut(size)).enumerate() {
            let row = &mut row[..=offset + position];
            probabilities(query, key, row, size);
            for (p, value) in row.iter().zip(value.chunks_exact(size)) {
                axpy(out, *p, value);
            }
        }
    }
}

vectorised! {
    /// Adds the gradients of query, key and value, from the gradient of the context `(T,D)`.
    fn attend_backward(head: &Head, grad: &[f32], slope: &mut Head, size: usize) {
        let scale = 1.0 / (size as f32).sqrt();
        let time = grad.len() / size;
        let (mut row, mut by_probability) = (vec![0f32; time], vec![0f32; time]);
        for (position, grad) in grad.chunks_exact(size).enumerate() {
            let own = position * size..(position + 1) * size;
            let (row, by_probability) = (&mut row[..=position], &mut by_probability[..=position]);
            let query = &head.query[own.clone()];
            probabilities(query, &head.key, row, size);
            for (out, value) in by_probability.iter_mut().zip(head.value.chunks_exact(size)) {
                *out = dot(grad, value);
            }
            let average = dot(row, by_probability);
            let query_slope = &mut slope.query[own];
            let pasts = head.key.chunks_exact(size).zip(slope.key.chunks_exact_mut(size)).zip(slope.value.chunks_exact_mut(size));
            for ((p, by_p), ((key, key_slope), value_slope)) in row.iter().zip(by_probability.iter()).zip(pasts) {
                let score = p * (by_p - average) * scale;
                axpy(value_slope, *p, grad);
                axpy(query_slope, score, key);
                axpy(key_slope, score, query);
            }
        }
    }
}

/// Attention probabilities of one query over the first `row.len()` keys.
#[inline(always)]
fn probabilities(query: &[f32], keys: &[f32], row: &mut [f32], size: usize) {
    let scale = 1.0 / (size as f32).sqrt();
    for (score, key) in row.iter_mut().zip(keys.chunks_exact(size)) {
        *score = dot(query, key) * scale;
    }
    softmax(row);
}
