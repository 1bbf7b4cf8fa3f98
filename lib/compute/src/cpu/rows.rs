//! Slices of f32 → slices of f32: the row-wise arithmetic of a transformer and its gradients on the CPU.
//!
//! All arrays are row-major and contiguous. Rows are shared out to the rayon pool; inside a row the loops are written so
//! that the compiler vectorises them for the instruction set found at run time.

use rayon::prelude::*;

use crate::cpu::isa::vectorised;

/// Rows that one task takes at least, so that small inputs are not cut into crumbs.
const ROWS: usize = 16;
const LANES: usize = 16;

/// `Σ a · b`, in sixteen sums side by side.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f32; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let tail: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a_chunks.zip(b_chunks) {
        for lane in 0..LANES {
            lanes[lane] = x[lane].mul_add(y[lane], lanes[lane]);
        }
    }
    lanes.iter().sum::<f32>() + tail
}

/// `Σ a`, in sixteen sums side by side.
#[inline(always)]
pub(crate) fn sum(a: &[f32]) -> f32 {
    let mut lanes = [0f32; LANES];
    let chunks = a.chunks_exact(LANES);
    let tail: f32 = chunks.remainder().iter().sum();
    for x in chunks {
        for lane in 0..LANES {
            lanes[lane] += x[lane];
        }
    }
    lanes.iter().sum::<f32>() + tail
}

vectorised! {
    /// The sum of the squares, added up in f64 every 4,096 numbers.
    pub fn squares(x: &[f32]) -> f64 {
        let mut total = 0f64;
        for part in x.chunks(4096) {
            total += f64::from(dot(part, part));
        }
        total
    }
}

/// The largest number; −∞ for none.
#[inline(always)]
pub(crate) fn max(a: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = a.chunks_exact(LANES);
    let tail = chunks.remainder().iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for x in chunks {
        for lane in 0..LANES {
            lanes[lane] = if x[lane] > lanes[lane] { x[lane] } else { lanes[lane] };
        }
    }
    lanes.iter().copied().fold(tail, f32::max)
}

/// `y += scale · x`.
#[inline(always)]
pub(crate) fn axpy(y: &mut [f32], scale: f32, x: &[f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y = scale.mul_add(*x, *y);
    }
}

/// `e^x` to about 1e-7 relative (Cephes' `expf`): the classic range reduction and a polynomial, without branches.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Added to a number below 2²², it leaves the nearest integer in the last bits: a cast to i32 has no vector instruction.
    const SHIFT: f32 = 1.5 * (1 << 23) as f32;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + SHIFT;
    let n = shifted - SHIFT;
    let r = n.mul_add(2.121_944_4e-4, n.mul_add(-0.693_359_4, x));
    let mut p = 1.987_569_1e-4f32;
    for coefficient in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = p.mul_add(r, coefficient);
    }
    let p = (p * r).mul_add(r, r) + 1.0;
    p * f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits()))
}

/// The sum over the rows of `x (N,C)`.
pub fn column_sum(x: &[f32], width: usize) -> Vec<f32> {
    vectorised! {
        fn part(total: &mut [f32], x: &[f32]) {
            for row in x.chunks_exact(total.len()) {
                axpy(total, 1.0, row);
            }
        }
    }
    let partial = x.par_chunks(width * ROWS * 4).map(|rows| {
        let mut total = vec![0f32; width];
        part(&mut total, rows);
        total
    });
    add_all(partial.collect(), width)
}

/// Adds vectors in their order, so that a result does not depend on which thread was first.
fn add_all(parts: Vec<Vec<f32>>, width: usize) -> Vec<f32> {
    let mut total = vec![0f32; width];
    for part in &parts {
        total.iter_mut().zip(part).for_each(|(total, x)| *total += x);
    }
    total
}

/// (mean, 1 / standard deviation) of a row.
#[inline(always)]
fn mean_var(row: &[f32], epsilon: f32) -> (f32, f32) {
    let mean = sum(row) / row.len() as f32;
    let mut lanes = [0f32; LANES];
    let chunks = row.chunks_exact(LANES);
    let tail: f32 = chunks.remainder().iter().map(|x| (x - mean) * (x - mean)).sum();
    for x in chunks {
        for lane in 0..LANES {
            let d = x[lane] - mean;
            lanes[lane] = d.mul_add(d, lanes[lane]);
        }
    }
    let variance = (lanes.iter().sum::<f32>() + tail) / row.len() as f32;
    (mean, 1.0 / (variance + epsilon).sqrt())
}

/// Layer norm over the last axis of `x (N,C)`.
pub fn layer_norm(x: &[f32], weight: &[f32], bias: &[f32], epsilon: f32) -> Vec<f32> {
    vectorised! {
        fn part(y: &mut [f32], x: &[f32], weight: &[f32], bias: &[f32], epsilon: f32) {
            let width = weight.len();
            for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                let (mean, scale) = mean_var(x, epsilon);
                for c in 0..width {
                    y[c] = ((x[c] - mean) * scale).mul_add(weight[c], bias[c]);
                }
            }
        }
    }
    let span = weight.len() * ROWS;
    let mut y = vec![0f32; x.len()];
    y.par_chunks_mut(span).zip(x.par_chunks(span)).for_each(|(y, x)| part(y, x, weight, bias, epsilon));
    y
}

/// Gradient of [`layer_norm`] by its input.
pub fn layer_norm_grad_input(x: &[f32], weight: &[f32], grad: &[f32], epsilon: f32) -> Vec<f32> {
    vectorised! {
        fn part(out: &mut [f32], x: &[f32], grad: &[f32], weight: &[f32], epsilon: f32) {
            let width = weight.len();
            for ((out, x), grad) in out.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(grad.chunks_exact(width)) {
                let (mean, scale) = mean_var(x, epsilon);
                for c in 0..width {
                    out[c] = grad[c] * weight[c];
                }
                let total = sum(out);
                let projection = scale * (dot(out, x) - mean * total) / width as f32;
                for c in 0..width {
                    out[c] = scale * (out[c] - total / width as f32 - (x[c] - mean) * scale * projection);
                }
            }
        }
    }
    let span = weight.len() * ROWS;
    let mut out = vec![0f32; x.len()];
    let inputs = x.par_chunks(span).zip(grad.par_chunks(span));
    out.par_chunks_mut(span).zip(inputs).for_each(|(out, (x, grad))| part(out, x, grad, weight, epsilon));
    out
}

/// Gradients of [`layer_norm`] by weight and bias, one after the other: `(2,C)`.
pub fn layer_norm_grad_affine(x: &[f32], grad: &[f32], width: usize, epsilon: f32) -> Vec<f32> {
    vectorised! {
        fn part(weight: &mut [f32], bias: &mut [f32], x: &[f32], grad: &[f32], epsilon: f32) {
            let width = weight.len();
            for (x, grad) in x.chunks_exact(width).zip(grad.chunks_exact(width)) {
                let (mean, scale) = mean_var(x, epsilon);
                for c in 0..width {
                    weight[c] += grad[c] * (x[c] - mean) * scale;
                    bias[c] += grad[c];
                }
            }
        }
    }
    let span = width * ROWS * 4;
    let parts = x.par_chunks(span).zip(grad.par_chunks(span)).map(|(x, grad)| {
        let mut total = vec![0f32; 2 * width];
        let (weight, bias) = total.split_at_mut(width);
        part(weight, bias, x, grad, epsilon);
        total
    });
    add_all(parts.collect(), 2 * width)
}

/// 1 / root mean square of a row.
#[inline(always)]
fn inverse_rms(row: &[f32], epsilon: f32) -> f32 {
    1.0 / (dot(row, row) / row.len() as f32 + epsilon).sqrt()
}

/// RMS norm over the last axis of `x (N,C)`.
pub fn rms_norm(x: &[f32], weight: &[f32], epsilon: f32) -> Vec<f32> {
    vectorised! {
        fn part(y: &mut [f32], x: &[f32], weight: &[f32], epsilon: f32) {
            let width = weight.len();
            for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                let scale = inverse_rms(x, epsilon);
                for c in 0..width {
                    y[c] = x[c] * scale * weight[c];
                }
            }
        }
    }
    let span = weight.len() * ROWS;
    let mut y = vec![0f32; x.len()];
    y.par_chunks_mut(span).zip(x.par_chunks(span)).for_each(|(y, x)| part(y, x, weight, epsilon));
    y
}

/// Gradient of [`rms_norm`] by its input.
pub fn rms_norm_grad_input(x: &[f32], weight: &[f32], grad: &[f32], epsilon: f32) -> Vec<f32> {
    vectorised! {
        fn part(out: &mut [f32], x: &[f32], grad: &[f32], weight: &[f32], epsilon: f32) {
            let width = weight.len();
            for ((out, x), grad) in out.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(grad.chunks_exact(width)) {
                let scale = inverse_rms(x, epsilon);
                for c in 0..width {
                    out[c] = grad[c] * weight[c];
                }
                let projection = scale * scale * dot(out, x) / width as f32;
                for c in 0..width {
                    out[c] = scale * (out[c] - x[c] * projection);
                }
            }
        }
    }
    let span = weight.len() * ROWS;
    let mut out = vec![0f32; x.len()];
    let inputs = x.par_chunks(span).zip(grad.par_chunks(span));
    out.par_chunks_mut(span).zip(inputs).for_each(|(out, (x, grad))| part(out, x, grad, weight, epsilon));
    out
}

/// Gradient of [`rms_norm`] by its weight `(C)`.
pub fn rms_norm_grad_weight(x: &[f32], grad: &[f32], width: usize, epsilon: f32) -> Vec<f32> {
    vectorised! {
        fn part(weight: &mut [f32], x: &[f32], grad: &[f32], epsilon: f32) {
            let width = weight.len();
            for (x, grad) in x.chunks_exact(width).zip(grad.chunks_exact(width)) {
                let scale = inverse_rms(x, epsilon);
                for c in 0..width {
                    weight[c] += grad[c] * x[c] * scale;
                }
            }
        }
    }
    let span = width * ROWS * 4;
    let parts = x.par_chunks(span).zip(grad.par_chunks(span)).map(|(x, grad)| {
        let mut total = vec![0f32; width];
        part(&mut total, x, grad, epsilon);
        total
    });
    add_all(parts.collect(), width)
}

/// Softmax of `scale · row` in place.
#[inline(always)]
pub(crate) fn softmax_scaled(row: &mut [f32], scale: f32) {
    let top = max(row);
    for x in row.iter_mut() {
        *x = exp((*x - top) * scale);
    }
    let part = 1.0 / sum(row);
    for x in row.iter_mut() {
        *x *= part;
    }
}

/// `Σ e^(x − top)` of a part of a row.
#[inline(always)]
pub(crate) fn exp_sum(part: &[f32], top: f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let chunks = part.chunks_exact(LANES);
    let mut tail = 0f32;
    for x in chunks.remainder() {
        tail += exp(x - top);
    }
    for x in chunks {
        for lane in 0..LANES {
            lanes[lane] += exp(x[lane] - top);
        }
    }
    lanes.iter().sum::<f32>() + tail
}

vectorised! {
    /// Logits of a row → `weight · (probability − even)`, in place: the gradient of the losses but for the label's own part.
    pub fn softmax_grad(row: &mut [f32], log_sum: f32, weight: f32, even: f32) {
        for x in row.iter_mut() {
            *x = weight * (exp(*x - log_sum) - even);
        }
    }
}

/// The first index with the highest logit; 0 where none is a number.
pub fn argmax(logits: &[f32]) -> u32 {
    vectorised! {
        fn top(logits: &[f32]) -> f32 {
            max(logits)
        }
    }
    let top = top(logits);
    logits.iter().position(|logit| *logit == top).unwrap_or(0) as u32
}

/// The logarithm of one id's probability, to about 1e-6.
///
/// # Panics
/// When there is no logit of this id.
pub fn log_probability(id: u32, logits: &[f32]) -> f64 {
    vectorised! {
        fn top_and_sum(logits: &[f32]) -> [f32; 2] {
            let (top, mut sum) = (max(logits), 0.0);
            // A loop: a closure would stay compiled for any machine.
            for part in logits.chunks(512) {
                sum += exp_sum(part, top);
            }
            [top, sum]
        }
    }
    let [top, sum] = top_and_sum(logits);
    f64::from(logits[id as usize] - top) - f64::from(sum).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_as_exact_as_f32() {
        for step in -8000..8000 {
            let x = step as f32 / 100.0;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) - exact).abs() <= 3e-7 * exact, "exp({x})");
        }
    }

    #[test]
    fn sums_do_not_lose_a_tail() {
        let x: Vec<f32> = (0..37).map(|i| i as f32).collect();
        assert_eq!((sum(&x), dot(&x, &x), max(&x)), (666.0, 16206.0, 36.0));
        assert_eq!(column_sum(&x[..36], 3), [198.0, 210.0, 222.0]);
    }
}
