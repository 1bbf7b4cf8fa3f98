//! One head: query, key and value rows → context rows, and back: causal attention in blocks of queries.
//!
//! The rows of probabilities of a block are made again in the backward pass, so memory stays linear in T
//! (Rabe & Staats 2021; Dao et al. 2022).

use crate::model::kernels::{axpy, dot, softmax_scaled};
use crate::model::simd::{Matrix, Threads, matmul, vectorised};

/// Queries whose probabilities are held at a time.
const BLOCK: usize = 64;
/// Fewer new positions than this are not worth a matrix product.
const FEW: usize = 4;

/// The context of the last `query.len() / D` positions over all keys and values of a head, `(positions, D)` each.
pub fn attend(query: &[f32], key: &[f32], value: &[f32], context: &mut [f32], size: usize) {
    let offset = (key.len() - query.len()) / size;
    if query.len() < FEW * size {
        return attend_few(query, key, value, context, size);
    }
    let mut scores = Vec::new();
    for (index, (query, context)) in query.chunks(BLOCK * size).zip(context.chunks_mut(BLOCK * size)).enumerate() {
        let first = offset + index * BLOCK;
        let seen = first + query.len() / size;
        probabilities(&mut scores, query, &key[..seen * size], first, size);
        matmul(context, Matrix::new(&scores, seen), Matrix::new(&value[..seen * size], size), false, Threads::One);
    }
}

/// Adds the gradients by key and value and sets the one by query, all `(T,D)`, from the gradient of the context.
pub fn attend_backward(head: [&[f32]; 3], grad: &[f32], query_slope: &mut [f32], slopes: [&mut [f32]; 2], size: usize) {
    let ([query, key, value], [key_slope, value_slope]) = (head, slopes);
    let (mut scores, mut by_score) = (Vec::new(), Vec::new());
    let blocks = query.chunks(BLOCK * size).zip(grad.chunks(BLOCK * size)).zip(query_slope.chunks_mut(BLOCK * size));
    for (index, ((query, grad), query_slope)) in blocks.enumerate() {
        let first = index * BLOCK;
        let seen = first + query.len() / size;
        let (key, value) = (&key[..seen * size], &value[..seen * size]);
        probabilities(&mut scores, query, key, first, size);
        by_score.resize(scores.len(), 0.0);
        matmul(&mut by_score, Matrix::new(grad, size), Matrix::new(value, size).t(), false, Threads::One);
        softmax_backward(&mut by_score, &scores, seen, first, size);
        matmul(query_slope, Matrix::new(&by_score, seen), Matrix::new(key, size), false, Threads::One);
        matmul(&mut key_slope[..seen * size], Matrix::new(&by_score, seen).t(), Matrix::new(query, size), true, Threads::One);
        matmul(&mut value_slope[..seen * size], Matrix::new(&scores, seen).t(), Matrix::new(grad, size), true, Threads::One);
    }
}

/// `(R, seen)` probabilities of the queries at positions `first..` over the keys; a query sees no later key.
fn probabilities(scores: &mut Vec<f32>, query: &[f32], key: &[f32], first: usize, size: usize) {
    vectorised! {
        fn normalise(scores: &mut [f32], seen: usize, first: usize, scale: f32) {
            for (place, row) in scores.chunks_exact_mut(seen).enumerate() {
                let (past, future) = row.split_at_mut(first + place + 1);
                softmax_scaled(past, scale);
                future.fill(0.0);
            }
        }
    }
    let seen = key.len() / size;
    scores.resize(query.len() / size * seen, 0.0);
    matmul(scores, Matrix::new(query, size), Matrix::new(key, size).t(), false, Threads::One);
    normalise(scores, seen, first, scale(size));
}

vectorised! {
    /// Gradient by the probabilities → gradient by the raw scores, in place.
    fn softmax_backward(slope: &mut [f32], probabilities: &[f32], seen: usize, first: usize, size: usize) {
        for (place, (slope, row)) in slope.chunks_exact_mut(seen).zip(probabilities.chunks_exact(seen)).enumerate() {
            let (past, future) = slope.split_at_mut(first + place + 1);
            let average = dot(&row[..past.len()], past);
            for (slope, p) in past.iter_mut().zip(row) {
                *slope = p * (*slope - average) * scale(size);
            }
            future.fill(0.0);
        }
    }
}

vectorised! {
    /// [`attend`] position by position.
    fn attend_few(query: &[f32], key: &[f32], value: &[f32], context: &mut [f32], size: usize) {
        let offset = (key.len() - query.len()) / size;
        let mut row = vec![0f32; key.len() / size];
        for (position, (query, out)) in query.chunks_exact(size).zip(context.chunks_exact_mut(size)).enumerate() {
            let row = &mut row[..=offset + position];
            for (score, key) in row.iter_mut().zip(key.chunks_exact(size)) {
                *score = dot(query, key);
            }
            softmax_scaled(row, scale(size));
            out.fill(0.0);
            for (p, value) in row.iter().zip(value.chunks_exact(size)) {
                axpy(out, *p, value);
            }
        }
    }
}

/// Scores are divided by the root of the head's size.
#[inline(always)]
fn scale(size: usize) -> f32 {
    1.0 / (size as f32).sqrt()
}
