//! One head: query, key and value rows → context rows, and back: causal attention in blocks of queries.
//!
//! The rows of probabilities of a block are made again in the backward pass, so memory stays linear in T
//! (Rabe & Staats 2021; Dao et al. 2022).

use std::ops::Range;

use crate::cpu::activation::tanh;
use crate::cpu::gemm::{Matrix, PackedMatrix, Threads, matmul};
use crate::cpu::isa::vectorised;
use crate::cpu::rows::{axpy, dot, softmax_scaled};

/// Queries whose probabilities are held at a time.
const BLOCK: usize = 64;
/// Fewer new positions than this are not worth a matrix product.
const FEW: usize = 4;

/// How the products of queries and keys become scores, and which of them count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scores {
    /// Factor of a product, as a rule `1 / √D`.
    pub scale: f32,
    /// Bound of a score: `cap · tanh(score / cap)` (Gemma 2).
    pub cap: Option<f32>,
    /// Keys that a query sees, its own included (Beltagy et al. 2020); `None`: all before it.
    pub window: Option<usize>,
}

impl Scores {
    /// Scaled dot products of heads of `size` dimensions over the whole past (Vaswani et al. 2017).
    pub fn of_size(size: usize) -> Self {
        Self { scale: 1.0 / (size as f32).sqrt(), cap: None, window: None }
    }

    /// The keys that the query at `position` sees.
    #[inline(always)]
    pub fn visible(&self, position: usize) -> Range<usize> {
        (position + 1).saturating_sub(self.window.unwrap_or(usize::MAX))..position + 1
    }

    /// Products of a query with the keys that it sees → probabilities, in place.
    #[inline(always)]
    fn probabilities(&self, row: &mut [f32]) {
        let Some(cap) = self.cap else { return softmax_scaled(row, self.scale) };
        for score in row.iter_mut() {
            *score = tanh(*score * (self.scale / cap));
        }
        softmax_scaled(row, cap);
    }
}

/// The context of the last `query.len() / D` positions over all keys and values of a head, `(positions, D)` each.
pub fn attend(query: &[f32], key: &[f32], value: &[f32], context: &mut [f32], size: usize, scores: Scores) {
    let offset = (key.len() - query.len()) / size;
    if query.len() < FEW * size {
        return attend_few(query, key, value, context, size, scores);
    }
    let mut rows = Vec::new();
    let (by_key, values) = (PackedMatrix::new(Matrix::new(key, size).t()), PackedMatrix::new(Matrix::new(value, size)));
    for (index, (query, context)) in query.chunks(BLOCK * size).zip(context.chunks_mut(BLOCK * size)).enumerate() {
        let block = Block::new(offset + index * BLOCK, query.len() / size, scores);
        block.products(&mut rows, query, &by_key, size);
        block.normalise(&mut rows);
        values.product(context, Matrix::new(&rows, block.keys.len()), block.keys, 0..size, false);
    }
}

/// Adds the gradients by key and value and sets the one by query, all `(T,D)`, from the gradient of the context.
pub fn attend_backward(head: [&[f32]; 3], grad: &[f32], query_grad: &mut [f32], grads: [&mut [f32]; 2], size: usize, scores: Scores) {
    let ([query, key, value], [key_grad, value_grad]) = (head, grads);
    let (mut rows, mut by_score, mut bends) = (Vec::new(), Vec::new(), Vec::new());
    let (by_key, by_value) = (PackedMatrix::new(Matrix::new(key, size).t()), PackedMatrix::new(Matrix::new(value, size).t()));
    let keys = PackedMatrix::new(Matrix::new(key, size));
    let blocks = query.chunks(BLOCK * size).zip(grad.chunks(BLOCK * size)).zip(query_grad.chunks_mut(BLOCK * size));
    for (index, ((query, grad), query_grad)) in blocks.enumerate() {
        let block = Block::new(index * BLOCK, query.len() / size, scores);
        let seen = block.keys.len();
        let place = block.keys.start * size..block.keys.end * size;
        block.products(&mut rows, query, &by_key, size);
        if let Some(cap) = scores.cap {
            bends.clone_from(&rows);
            bend(&mut bends, scores.scale / cap);
        }
        block.normalise(&mut rows);
        block.products(&mut by_score, grad, &by_value, size);
        softmax_backward(&mut by_score, &rows, &block);
        by_score.iter_mut().zip(&bends).for_each(|(grad, bend)| *grad *= bend);
        keys.product(query_grad, Matrix::new(&by_score, seen), block.keys.clone(), 0..size, false);
        matmul(&mut key_grad[place.clone()], Matrix::new(&by_score, seen).t(), Matrix::new(query, size), true, Threads::One);
        matmul(&mut value_grad[place], Matrix::new(&rows, seen).t(), Matrix::new(grad, size), true, Threads::One);
    }
}

/// Some queries that stand one after the other, and the keys that any of them sees; a few before them, where a product begins.
struct Block {
    first: usize,
    keys: Range<usize>,
    scores: Scores,
}

impl Block {
    fn new(first: usize, queries: usize, scores: Scores) -> Self {
        Self { first, keys: scores.visible(first).start / PackedMatrix::COLUMNS * PackedMatrix::COLUMNS..first + queries, scores }
    }

    /// The columns of a row that its query sees.
    #[inline(always)]
    fn columns(&self, row: usize) -> Range<usize> {
        let visible = self.scores.visible(self.first + row);
        visible.start - self.keys.start..visible.end - self.keys.start
    }

    /// `(queries, keys)` products of rows with the block's columns of `(D, positions)`.
    fn products(&self, out: &mut Vec<f32>, rows: &[f32], columns: &PackedMatrix, size: usize) {
        out.resize(rows.len() / size * self.keys.len(), 0.0);
        columns.product(out, Matrix::new(rows, size), 0..size, self.keys.clone(), false);
    }

    /// Products → probabilities; 0 where a query does not see a key.
    fn normalise(&self, rows: &mut [f32]) {
        vectorised! {
            fn work(rows: &mut [f32], block: &Block) {
                for (place, row) in rows.chunks_exact_mut(block.keys.len()).enumerate() {
                    let columns = block.columns(place);
                    row[..columns.start].fill(0.0);
                    row[columns.end..].fill(0.0);
                    block.scores.probabilities(&mut row[columns]);
                }
            }
        }
        work(rows, self);
    }
}

vectorised! {
    /// Gradient by the probabilities → gradient by the raw scores, in place.
    fn softmax_backward(grad: &mut [f32], probabilities: &[f32], block: &Block) {
        let (seen, scale) = (block.keys.len(), block.scores.scale);
        for (place, (grad, row)) in grad.chunks_exact_mut(seen).zip(probabilities.chunks_exact(seen)).enumerate() {
            let columns = block.columns(place);
            grad[..columns.start].fill(0.0);
            grad[columns.end..].fill(0.0);
            let (grad, row) = (&mut grad[columns.clone()], &row[columns]);
            let average = dot(row, grad);
            for (grad, p) in grad.iter_mut().zip(row) {
                *grad = p * (*grad - average) * scale;
            }
        }
    }
}

vectorised! {
    /// Products → the derivative of a capped score by its own: `1 − tanh²`.
    fn bend(products: &mut [f32], scale: f32) {
        for x in products.iter_mut() {
            let y = tanh(*x * scale);
            *x = 1.0 - y * y;
        }
    }
}

vectorised! {
    /// [`attend`] position by position.
    fn attend_few(query: &[f32], key: &[f32], value: &[f32], context: &mut [f32], size: usize, scores: Scores) {
        let offset = (key.len() - query.len()) / size;
        let mut row = vec![0f32; key.len() / size];
        for (position, (query, out)) in query.chunks_exact(size).zip(context.chunks_exact_mut(size)).enumerate() {
            let visible = scores.visible(offset + position);
            let row = &mut row[visible.clone()];
            let part = visible.start * size..visible.end * size;
            for (score, key) in row.iter_mut().zip(key[part.clone()].chunks_exact(size)) {
                *score = dot(query, key);
            }
            scores.probabilities(row);
            out.fill(0.0);
            for (p, value) in row.iter().zip(value[part].chunks_exact(size)) {
                axpy(out, *p, value);
            }
        }
    }
}
