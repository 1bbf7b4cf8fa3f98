//! Hidden rows and targets → losses and gradients: output projection and cross entropy in one, on the CPU.
//!
//! The logits of a chunk of rows are held once, in blocks of the vocabulary: a block is multiplied, and later turned into
//! its own gradient and multiplied again, while it is in the cache. Rows of weight 0 cost nothing. The sums run in a
//! fixed order, so results do not depend on threads.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::cpu::activation::tanh;
use crate::cpu::gemm::{Matrix, Threads, matmul, matmul_then};
use crate::cpu::gemv;
use crate::cpu::isa::vectorised;
use crate::cpu::packed::widen;
use crate::cpu::rows::{column_sum, exp_sum, max, softmax_grad, sum};

/// Rows whose logits are held at a time.
const ROWS: usize = 1024;
/// Words of the vocabulary in a block.
const WORDS: usize = 3072;

/// What the rows should have predicted.
#[derive(Debug, Clone, Copy)]
pub struct Targets<'a> {
    /// One label a row, below V where the weight is not 0.
    pub labels: &'a [u32],
    /// What a row's loss counts; 0 leaves the row out.
    pub weights: &'a [f32],
    /// Part of the probability that is spread evenly over all words, 0 to 1 (Szegedy et al. 2016), as transformers'
    /// `label_smoothing_factor`.
    pub smoothing: f32,
}

/// The output projection of hidden rows of some width.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// `(V,C)`; a packed one is unpacked block by block.
    pub weight: gemv::Matrix<'a>,
    /// `(V)`.
    pub bias: Option<&'a [f32]>,
    /// Bound of a logit: `cap · tanh(logit / cap)`.
    pub cap: Option<f32>,
    /// C.
    pub width: usize,
    /// Memory for logits, kept from one call to the next: new memory is slower than the arithmetic on it.
    pub scratch: &'a Mutex<Vec<f32>>,
}

/// The logits of a chunk: block after block of `(R, words)`, and each row's logarithm of the sum of exponentials.
struct Logits {
    values: Vec<f32>,
    log_sums: Vec<f32>,
    means: Vec<f32>,
}

impl Head<'_> {
    fn vocabulary(&self) -> usize {
        self.weight.rows(self.width)
    }

    /// Calls `work` with the number and the rows of each block of the vocabulary.
    fn blocks(&self, mut work: impl FnMut(usize, &[f32])) {
        let mut unpacked = Vec::new();
        for start in (0..self.vocabulary()).step_by(WORDS) {
            let words = match self.weight.part(start, WORDS.min(self.vocabulary() - start), self.width) {
                gemv::Matrix::Full(values) => values,
                gemv::Matrix::Packed(format, bytes) => {
                    unpacked.resize(bytes.len() / format.bytes(self.width) * self.width, 0.0);
                    widen(format, bytes, &mut unpacked);
                    &unpacked
                }
            };
            work(start / WORDS, words);
        }
    }

    /// Negative log-probability of each row's label; 0 where the weight is 0.
    ///
    /// # Panics
    /// When a row that counts has a label that is not below V, or there are not as many weights and hidden rows as labels.
    pub fn losses(&self, hidden: &[f32], targets: Targets) -> Vec<f32> {
        let mut losses = vec![0.0; targets.labels.len()];
        self.chunks(hidden, targets, |rows, _, logits| {
            for (place, &row) in rows.iter().enumerate() {
                losses[row] = self.row_loss(logits, place, rows.len(), targets.labels[row], targets.smoothing);
            }
        });
        losses
    }

    /// `Σ weight · loss`, its gradient by `hidden` `(N,C)` and by the bias `(V)`, where there is one; the gradient by the
    /// projection is added to `weight_grad` or overwrites it.
    ///
    /// # Panics
    /// As [`Head::losses`].
    pub fn backward(&self, hidden: &[f32], targets: Targets, mut weight_grad: Option<(&mut [f32], bool)>) -> (f64, Vec<f32>, Vec<f32>) {
        let width = self.width;
        let (mut loss, mut hidden_grad) = (0f64, vec![0f32; hidden.len()]);
        let mut bias_grad = vec![0f32; self.bias.map_or(0, <[f32]>::len)];
        if let Some((weight_grad, false)) = &mut weight_grad
            && targets.weights.iter().all(|&weight| weight == 0.0)
        {
            weight_grad.fill(0.0);
        }
        self.chunks(hidden, targets, |rows, x, logits| {
            for (place, &row) in rows.iter().enumerate() {
                let own = self.row_loss(logits, place, rows.len(), targets.labels[row], targets.smoothing);
                loss += f64::from(targets.weights[row]) * f64::from(own);
            }
            let mut x_grad = vec![0f32; x.len()];
            self.blocks(|index, words| {
                let count = words.len() / width;
                let block = &mut logits.values[index * WORDS * rows.len()..][..count * rows.len()];
                self.block_grad(block, index * WORDS, rows, &logits.log_sums, targets);
                if self.bias.is_some() {
                    let own = column_sum(block, count);
                    bias_grad[index * WORDS..].iter_mut().zip(own).for_each(|(sum, own)| *sum += own);
                }
                let block = Matrix::new(block, count);
                matmul(&mut x_grad, block, Matrix::new(words, width), true, Threads::All);
                if let Some((weight_grad, add)) = &mut weight_grad {
                    let weight_grad = &mut weight_grad[index * WORDS * width..][..words.len()];
                    matmul(weight_grad, block.t(), Matrix::new(x, width), *add, Threads::All);
                }
            });
            if let Some((_, add)) = &mut weight_grad {
                *add = true;
            }
            for (x_grad, &row) in x_grad.chunks_exact(width).zip(rows) {
                hidden_grad[row * width..][..width].copy_from_slice(x_grad);
            }
        });
        (loss, hidden_grad, bias_grad)
    }

    /// Calls `work` with (rows, their hidden values, their logits) for each chunk of rows that count.
    fn chunks(&self, hidden: &[f32], targets: Targets, mut work: impl FnMut(&[usize], &[f32], &mut Logits)) {
        let width = self.width;
        let vocabulary = self.vocabulary();
        assert!(
            targets.weights.len() == targets.labels.len() && hidden.len() == targets.labels.len() * width,
            "{} labels, {} weights, {} hidden rows",
            targets.labels.len(),
            targets.weights.len(),
            hidden.len() / width
        );
        let active: Vec<usize> = (0..targets.labels.len()).filter(|&row| targets.weights[row] != 0.0).collect();
        let unknown = active.iter().find(|&&row| targets.labels[row] as usize >= vocabulary);
        assert!(unknown.is_none(), "row {unknown:?} has a label that is not below the vocabulary's {vocabulary}");
        let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        let mut logits = Logits { values: std::mem::take(&mut scratch), log_sums: Vec::new(), means: Vec::new() };
        for rows in active.chunks(ROWS) {
            let x: Vec<f32> = rows.iter().flat_map(|row| &hidden[row * width..][..width]).copied().collect();
            self.project(&x, targets.smoothing > 0.0, &mut logits);
            work(rows, &x, &mut logits);
        }
        *scratch = logits.values;
    }

    fn project(&self, x: &[f32], means: bool, logits: &mut Logits) {
        vectorised! {
            fn finish(row: &mut [f32], bias: Option<&[f32]>, cap: Option<f32>) {
                if let Some(bias) = bias {
                    row.iter_mut().zip(bias).for_each(|(logit, bias)| *logit += bias);
                }
                if let Some(cap) = cap {
                    row.iter_mut().for_each(|logit| *logit = cap * tanh(*logit / cap));
                }
            }
        }
        vectorised! {
            fn block_sums(row: &[f32], top: &mut f32, total: &mut f64) {
                let own = max(row);
                if own > *top {
                    *total *= f64::from(*top - own).exp();
                    *top = own;
                }
                for part in row.chunks(512) {
                    *total += f64::from(exp_sum(part, *top));
                }
            }
        }
        let rows = x.len() / self.width;
        if logits.values.len() < rows * self.vocabulary() {
            logits.values.resize(rows * self.vocabulary(), 0.0);
        }
        let mut sums = vec![(f32::NEG_INFINITY, 0f64, 0f64); rows];
        self.blocks(|index, words| {
            let count = words.len() / self.width;
            let block = &mut logits.values[index * WORDS * rows..][..count * rows];
            let bias = self.bias.map(|bias| &bias[index * WORDS..][..count]);
            let (x, words) = (Matrix::new(x, self.width), Matrix::new(words, self.width).t());
            matmul_then(block, x, words, false, Threads::All, &mut sums, |row, (top, total, plain)| {
                finish(row, bias, self.cap);
                block_sums(row, top, total);
                if means {
                    *plain += row.chunks(512).map(|part| f64::from(sum(part))).sum::<f64>();
                }
            });
        });
        logits.log_sums = sums.iter().map(|(top, total, _)| (f64::from(*top) + total.ln()) as f32).collect();
        logits.means = sums.iter().map(|(_, _, plain)| (plain / self.vocabulary() as f64) as f32).collect();
    }

    fn row_loss(&self, logits: &Logits, place: usize, rows: usize, target: u32, smoothing: f32) -> f32 {
        let (block, word) = (target as usize / WORDS, target as usize % WORDS);
        let count = WORDS.min(self.vocabulary() - block * WORDS);
        let own = logits.values[block * WORDS * rows + place * count + word];
        let loss = logits.log_sums[place] - own;
        if smoothing == 0.0 { loss } else { (1.0 - smoothing) * loss + smoothing * (logits.log_sums[place] - logits.means[place]) }
    }

    /// Turns a block of logits `(R, words)` into the gradient of the weighted loss by them.
    fn block_grad(&self, block: &mut [f32], start: usize, rows: &[usize], log_sums: &[f32], targets: Targets) {
        let (count, smoothing) = (block.len() / rows.len(), targets.smoothing);
        let even = smoothing / self.vocabulary() as f32;
        block.par_chunks_exact_mut(count).zip(rows.par_iter().zip(log_sums)).with_min_len(16).for_each(|(grad, (&row, &log_sum))| {
            let weight = targets.weights[row];
            let bends: Option<Vec<f32>> = self.cap.map(|cap| grad.iter().map(|logit| 1.0 - (logit / cap) * (logit / cap)).collect());
            softmax_grad(grad, log_sum, weight, even);
            let target = targets.labels[row] as usize;
            if (start..start + count).contains(&target) {
                grad[target - start] -= weight * (1.0 - smoothing);
            }
            grad.iter_mut().zip(bends.iter().flatten()).for_each(|(grad, bend)| *grad *= bend);
        });
    }
}
