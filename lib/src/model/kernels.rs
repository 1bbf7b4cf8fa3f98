//! Slices of f32 → slices of f32: the row-wise arithmetic of a transformer and its gradients on the CPU.
//!
//! All arrays are row-major and contiguous. Rows are shared out to the rayon pool; inside a row the loops are written so
//! that the compiler vectorises them for the instruction set found at run time.

use rayon::prelude::*;

use crate::model::simd::vectorised;

/// Rows that one task takes at least, so that small inputs are not cut into crumbs.
const ROWS: usize = 16;
const LANES: usize = 16;

#[inline(always)]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
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

#[inline(always)]
pub fn sum(a: &[f32]) -> f32 {
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

#[inline(always)]
fn max(a: &[f32]) -> f32 {
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
pub fn axpy(y: &mut [f32], scale: f32, x: &[f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y = scale.mul_add(*x, *y);
    }
}

/// `e^x` to about 1e-7 relative (Cephes' `expf`): the classic range reduction and a polynomial, without branches.
#[inline(always)]
fn exp(x: f32) -> f32 {
    let x = x.clamp(-87.0, 88.0);
    let n = (x * std::f32::consts::LOG2_E).round_ties_even();
    let r = n.mul_add(2.121_944_4e-4, n.mul_add(-0.693_359_4, x));
    let mut p = 1.987_569_1e-4f32;
    for coefficient in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = p.mul_add(r, coefficient);
    }
    let p = (p * r).mul_add(r, r) + 1.0;
    p * f32::from_bits(((n as i32 + 127) as u32) << 23)
}

/// The error function to about 3e-7 (the rational approximation that Eigen and XLA use).
#[inline(always)]
fn erf(x: f32) -> f32 {
    let x = x.clamp(-4.0, 4.0);
    let square = x * x;
    let mut numerator = -2.726_142_3e-10f32;
    for coefficient in [2.770_681_4e-8, -2.101_024e-6, -5.692_506_4e-5, -7.349_906_3e-4, -2.954_6e-3, -1.609_603_3e-2] {
        numerator = numerator.mul_add(square, coefficient);
    }
    let mut denominator = -1.456_607_2e-5f32;
    for coefficient in [-2.133_740_6e-4, -1.682_827e-3, -7.373_329_2e-3, -1.426_473_9e-2] {
        denominator = denominator.mul_add(square, coefficient);
    }
    x * numerator / denominator
}

#[inline(always)]
fn normal_cdf(x: f32) -> f32 {
    0.5 + 0.5 * erf(x * std::f32::consts::FRAC_1_SQRT_2)
}

/// GELU with the exact normal distribution function.
pub fn gelu(x: &[f32]) -> Vec<f32> {
    vectorised! {
        fn part(y: &mut [f32], x: &[f32]) {
            for (y, x) in y.iter_mut().zip(x) {
                *y = x * normal_cdf(*x);
            }
        }
    }
    let mut y = vec![0f32; x.len()];
    y.par_chunks_mut(4096).zip(x.par_chunks(4096)).for_each(|(y, x)| part(y, x));
    y
}

/// Gradient of [`gelu`] by its input.
pub fn gelu_grad(x: &[f32], grad: &[f32]) -> Vec<f32> {
    vectorised! {
        fn part(out: &mut [f32], x: &[f32], grad: &[f32]) {
            const INV_SQRT_2PI: f32 = 0.398_942_3;
            for ((out, x), grad) in out.iter_mut().zip(x).zip(grad) {
                *out = grad * (normal_cdf(*x) + x * INV_SQRT_2PI * exp(-0.5 * x * x));
            }
        }
    }
    let mut out = vec![0f32; x.len()];
    let inputs = x.par_chunks(4096).zip(grad.par_chunks(4096));
    out.par_chunks_mut(4096).zip(inputs).for_each(|(out, (x, grad))| part(out, x, grad));
    out
}

/// `x (N,C) + bias (C)`.
pub fn add_bias(x: &[f32], bias: &[f32]) -> Vec<f32> {
    vectorised! {
        fn part(y: &mut [f32], x: &[f32], bias: &[f32]) {
            for (y, x) in y.chunks_exact_mut(bias.len()).zip(x.chunks_exact(bias.len())) {
                for ((y, x), b) in y.iter_mut().zip(x).zip(bias) {
                    *y = x + b;
                }
            }
        }
    }
    let span = bias.len() * ROWS;
    let mut y = vec![0f32; x.len()];
    y.par_chunks_mut(span).zip(x.par_chunks(span)).for_each(|(y, x)| part(y, x, bias));
    y
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
fn moments(row: &[f32], epsilon: f32) -> (f32, f32) {
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
                let (mean, scale) = moments(x, epsilon);
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
                let (mean, scale) = moments(x, epsilon);
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
                let (mean, scale) = moments(x, epsilon);
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

/// Softmax of a row in place.
#[inline(always)]
pub fn softmax(row: &mut [f32]) {
    let top = max(row);
    for x in row.iter_mut() {
        *x = exp(*x - top);
    }
    let scale = 1.0 / sum(row);
    for x in row.iter_mut() {
        *x *= scale;
    }
}

/// `Σ weight · (ln Σ e^logits − logit of the target)` over the rows of `logits (N,V)`; rows of weight 0 cost nothing.
pub fn cross_entropy(logits: &[f32], targets: &[u32], weights: &[f32]) -> f64 {
    vectorised! {
        fn log_sum_exp(row: &[f32]) -> f64 {
            let top = max(row);
            let mut total = 0f64;
            for part in row.chunks(512) {
                total += f64::from(exp_sum(part, top));
            }
            f64::from(top) + total.ln()
        }
    }
    let vocabulary = logits.len() / targets.len().max(1);
    let rows = logits.par_chunks(vocabulary).zip(targets.par_iter().zip(weights));
    let loss = |(row, (&target, &weight)): (&[f32], (&u32, &f32))| match weight {
        0.0 => 0.0,
        _ => f64::from(weight) * (log_sum_exp(row) - f64::from(row[target as usize])),
    };
    rows.map(loss).collect::<Vec<f64>>().iter().sum()
}

#[inline(always)]
fn exp_sum(part: &[f32], top: f32) -> f32 {
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

/// Gradient of [`cross_entropy`] by the logits, times `grad`.
pub fn cross_entropy_grad(logits: &[f32], targets: &[u32], weights: &[f32], grad: f32) -> Vec<f32> {
    vectorised! {
        fn part(out: &mut [f32], row: &[f32], scale: f32) {
            out.copy_from_slice(row);
            softmax(out);
            for x in out.iter_mut() {
                *x *= scale;
            }
        }
    }
    let vocabulary = logits.len() / targets.len().max(1);
    let mut out = vec![0f32; logits.len()];
    let rows = logits.par_chunks(vocabulary).zip(targets.par_iter().zip(weights));
    out.par_chunks_mut(vocabulary).zip(rows).for_each(|(out, (row, (&target, &weight)))| {
        let scale = weight * grad;
        if scale != 0.0 {
            part(out, row, scale);
            out[target as usize] -= scale;
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_and_erf_are_as_exact_as_f32() {
        for step in -8000..8000 {
            let x = step as f32 / 100.0;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) - exact).abs() <= 3e-7 * exact, "exp({x})");
        }
        for (x, exact) in [(0.0, 0.0), (0.5, 0.520_499_877_8), (1.0, 0.842_700_792_9), (-2.0, -0.995_322_265_0), (3.9, 0.999_999_965_2)] {
            assert!((f64::from(erf(x)) - exact).abs() < 4e-7, "erf({x}) = {}", erf(x));
        }
    }

    #[test]
    fn sums_do_not_lose_a_tail() {
        let x: Vec<f32> = (0..37).map(|i| i as f32).collect();
        assert_eq!((sum(&x), dot(&x, &x), max(&x)), (666.0, 16206.0, 36.0));
        assert_eq!(column_sum(&x[..36], 3), [198.0, 210.0, 222.0]);
    }
}
