//! Slices of f32 → slices of f32: GELU, gated activations and dropout, and their gradients, on the CPU.

use rayon::prelude::*;

use crate::cpu::isa::vectorised;
use crate::cpu::rows::exp;

/// Values that one task takes.
const SPAN: usize = 4096;

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
    y.par_chunks_mut(SPAN).zip(x.par_chunks(SPAN)).for_each(|(y, x)| part(y, x));
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
    let inputs = x.par_chunks(SPAN).zip(grad.par_chunks(SPAN));
    out.par_chunks_mut(SPAN).zip(inputs).for_each(|(out, (x, grad))| part(out, x, grad));
    out
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// `1 − 2 / (e^2x + 1)`, to about 1e-7.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (exp(2.0 * x) + 1.0)
}

/// An activation of the form `x · σ(rate · (x + cube · x³))`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sigmoidal {
    rate: f32,
    cube: f32,
}

/// `x · σ(x)`: SiLU, also called swish.
pub const SILU: Sigmoidal = Sigmoidal { rate: 1.0, cube: 0.0 };
/// GELU with a tanh in place of the normal distribution function (`gelu_new`, `gelu_pytorch_tanh`): rate `2 · √(2/π)`.
pub const GELU_TANH: Sigmoidal = Sigmoidal { rate: 1.595_769, cube: 0.044_715 };

impl Sigmoidal {
    /// The rate and the factor of the cube.
    pub fn factors(self) -> [f32; 2] {
        [self.rate, self.cube]
    }

    /// The value at `x`.
    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        x * sigmoid(self.rate * (x + self.cube * x * x * x))
    }

    /// The derivative at `x`.
    #[inline(always)]
    fn derivative(self, x: f32) -> f32 {
        let s = sigmoid(self.rate * (x + self.cube * x * x * x));
        s * (1.0 + x * self.rate * (1.0 + 3.0 * self.cube * x * x) * (1.0 - s))
    }
}

/// The activation of every value.
pub fn activate(x: &[f32], form: Sigmoidal) -> Vec<f32> {
    vectorised! {
        fn part(y: &mut [f32], x: &[f32], form: Sigmoidal) {
            for (y, x) in y.iter_mut().zip(x) {
                *y = form.value(*x);
            }
        }
    }
    let mut y = vec![0f32; x.len()];
    y.par_chunks_mut(SPAN).zip(x.par_chunks(SPAN)).for_each(|(y, x)| part(y, x, form));
    y
}

/// Gradient of [`activate`] by its input.
pub fn activate_grad(x: &[f32], grad: &[f32], form: Sigmoidal) -> Vec<f32> {
    vectorised! {
        fn part(out: &mut [f32], x: &[f32], grad: &[f32], form: Sigmoidal) {
            for ((out, x), grad) in out.iter_mut().zip(x).zip(grad) {
                *out = grad * form.derivative(*x);
            }
        }
    }
    let mut out = vec![0f32; x.len()];
    let inputs = x.par_chunks(SPAN).zip(grad.par_chunks(SPAN));
    out.par_chunks_mut(SPAN).zip(inputs).for_each(|(out, (x, grad))| part(out, x, grad, form));
    out
}

/// `activation(gate) · up`.
pub fn gated(gate: &[f32], up: &[f32], form: Sigmoidal) -> Vec<f32> {
    vectorised! {
        fn part(y: &mut [f32], gate: &[f32], up: &[f32], form: Sigmoidal) {
            for ((y, g), u) in y.iter_mut().zip(gate).zip(up) {
                *y = form.value(*g) * u;
            }
        }
    }
    let mut y = vec![0f32; gate.len()];
    let inputs = gate.par_chunks(SPAN).zip(up.par_chunks(SPAN));
    y.par_chunks_mut(SPAN).zip(inputs).for_each(|(y, (gate, up))| part(y, gate, up, form));
    y
}

/// Gradients of [`gated`] by gate and up.
pub fn gated_grad(gate: &[f32], up: &[f32], grad: &[f32], form: Sigmoidal) -> (Vec<f32>, Vec<f32>) {
    vectorised! {
        fn part(by_gate: &mut [f32], by_up: &mut [f32], gate: &[f32], up: &[f32], grad: &[f32], form: Sigmoidal) {
            for i in 0..gate.len() {
                by_up[i] = grad[i] * form.value(gate[i]);
                by_gate[i] = grad[i] * up[i] * form.derivative(gate[i]);
            }
        }
    }
    let (mut by_gate, mut by_up) = (vec![0f32; gate.len()], vec![0f32; gate.len()]);
    let outputs = by_gate.par_chunks_mut(SPAN).zip(by_up.par_chunks_mut(SPAN));
    let inputs = gate.par_chunks(SPAN).zip(up.par_chunks(SPAN)).zip(grad.par_chunks(SPAN));
    outputs.zip(inputs).for_each(|((by_gate, by_up), ((gate, up), grad))| part(by_gate, by_up, gate, up, grad, form));
    (by_gate, by_up)
}

/// `x` with a part `rate` of its values set to 0 and the others divided by `1 − rate`; a value's fate is a function of
/// the seed and its place (SplitMix64, Steele et al. 2014).
pub fn dropout(x: &[f32], rate: f32, seed: u64) -> Vec<f32> {
    let limit = (f64::from(rate) * u64::MAX as f64) as u64;
    let keep = 1.0 / (1.0 - rate);
    let mut y = vec![0f32; x.len()];
    y.par_chunks_mut(SPAN).zip(x.par_chunks(SPAN)).enumerate().for_each(|(chunk, (y, x))| {
        for (place, (y, x)) in y.iter_mut().zip(x).enumerate() {
            *y = if scramble(seed.wrapping_add((chunk * SPAN + place) as u64)) < limit { 0.0 } else { x * keep };
        }
    });
    y
}

/// SplitMix64's output function after one step from `state`.
pub fn scramble(state: u64) -> u64 {
    let mut z = state.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erf_is_as_exact_as_f32() {
        for (x, exact) in [(0.0, 0.0), (0.5, 0.520_499_877_8), (1.0, 0.842_700_792_9), (-2.0, -0.995_322_265_0), (3.9, 0.999_999_965_2)] {
            assert!((f64::from(erf(x)) - exact).abs() < 4e-7, "erf({x}) = {}", erf(x));
        }
    }

    #[test]
    fn tanh_and_the_gelu_of_it_are_as_exact_as_f32() {
        for step in -1200..1200 {
            let x = f64::from(step) / 100.0;
            assert!((f64::from(tanh(x as f32)) - x.tanh()).abs() < 3e-7, "tanh({x})");
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
            let exact = 0.5 * x * (1.0 + inner.tanh());
            assert!((f64::from(GELU_TANH.value(x as f32)) - exact).abs() < 2e-6, "gelu({x})");
        }
    }

    #[test]
    fn dropout_drops_its_part_and_keeps_the_mean() {
        let y = dropout(&vec![1.0; 100_000], 0.3, 7);
        let dropped = y.iter().filter(|y| **y == 0.0).count();
        assert!((29_000..31_000).contains(&dropped), "{dropped} of 100,000");
        let mean = y.iter().sum::<f32>() / 100_000.0;
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
        assert_eq!(y, dropout(&vec![1.0; 100_000], 0.3, 7));
        assert_ne!(y, dropout(&vec![1.0; 100_000], 0.3, 8));
    }
}
