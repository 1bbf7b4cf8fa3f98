//! A few rows times a weight: the products of decoding, where reading the weight is the work.
//!
//! The weight is walked once, in the order of memory, each of its rows against up to eight input rows.

use pulp::{Arch, Scalar256b, Simd, WithSimd};
use rayon::prelude::*;

use crate::cpu::isa::Level;
use crate::cpu::microkernel::{has_bf16, pairs_bf16};
use crate::cpu::packed::{Format, bf16_pair, rounded_to_bf16};

/// Up to this many input rows the walk is faster than a general matrix product, where the weight stays in the last cache.
const FEW: usize = 32;
/// The same for a weight of more numbers than this, which comes from memory.
const FEW_OF_LARGE: usize = 8;
const LARGE: usize = 4 << 20;
/// The same where the product would have to unpack the whole weight first.
pub const FEW_PACKED: usize = 96;
/// Rows of a packed weight that are unpacked together.
const TILE: usize = 4;
/// Numbers of a row that are multiplied before the next rows' turn: four rows of the weight stay in the first cache.
const STRETCH: usize = 1024;
/// Numbers of the weight that one task reads: less is done before another thread wakes.
const SPAN: usize = 1 << 16;

/// Whether the walk is faster for so many input rows and numbers of the weight.
pub fn is_few(rows: usize, numbers: usize) -> bool {
    rows <= if numbers > LARGE { FEW_OF_LARGE } else { FEW }
}

/// A weight `(O,I)`, or some of its rows.
#[derive(Debug, Clone, Copy)]
pub enum Matrix<'a> {
    /// Numbers.
    Full(&'a [f32]),
    /// Numbers in a format, unpacked tile by tile while they are in the cache.
    Packed(Format, &'a [u8]),
}

impl Matrix<'_> {
    /// Its rows.
    pub fn rows(&self, inputs: usize) -> usize {
        match self {
            Self::Full(values) => values.len() / inputs,
            Self::Packed(format, bytes) => bytes.len() / format.bytes(inputs),
        }
    }

    /// Some of its rows.
    #[inline(always)]
    pub fn part(&self, start: usize, rows: usize, inputs: usize) -> Self {
        match *self {
            Self::Full(values) => Self::Full(&values[start * inputs..][..rows * inputs]),
            Self::Packed(format, bytes) => {
                let row = format.bytes(inputs);
                Self::Packed(format, &bytes[start * row..][..rows * row])
            }
        }
    }
}

/// The sums of some input rows with a row of the weight; a row's sum is the same in any company.
#[inline(always)]
fn products<S: Simd, const R: usize>(simd: S, x: [&[f32]; R], w: &[f32]) -> [f32; R] {
    let (w, w_tail) = S::as_simd_f32s(w);
    let mut rows: [&[S::f32s]; R] = [&[]; R];
    for (row, x) in rows.iter_mut().zip(x) {
        *row = &S::as_simd_f32s(x).0[..w.len()];
    }
    let mut sums = [simd.splat_f32s(0.0); R];
    for (i, w) in w.iter().enumerate() {
        for row in 0..R {
            sums[row] = simd.mul_add_f32s(rows[row][i], *w, sums[row]);
        }
    }
    let mut out = [0f32; R];
    for row in 0..R {
        let tail: f32 = S::as_simd_f32s(x[row]).1.iter().zip(w_tail).map(|(x, w)| x * w).sum();
        out[row] = simd.reduce_sum_f32s(sums[row]) + tail;
    }
    out
}

/// Calls `$products` for all rows, eight, four, two or one at a time: `$input` gives the rows, `$add` takes their sums.
macro_rules! by_groups {
    ($rows:expr, $products:expr, $input:expr, $add:expr) => {
        let mut row = 0;
        by_groups!(@ 8, row, $rows, $products, $input, $add);
        by_groups!(@ 4, row, $rows, $products, $input, $add);
        by_groups!(@ 2, row, $rows, $products, $input, $add);
        by_groups!(@ 1, row, $rows, $products, $input, $add);
    };
    (@ $size:literal, $row:ident, $rows:expr, $products:expr, $input:expr, $add:expr) => {
        while $rows - $row >= $size {
            let mut x: [_; $size] = [Default::default(); $size];
            for (place, x) in x.iter_mut().enumerate() {
                *x = $input($row + place);
            }
            for (place, sum) in $products(x).into_iter().enumerate() {
                $add($row + place, sum);
            }
            $row += $size;
        }
    };
}

/// `y (R, O)` += `x (R, I) · w (O, I)ᵀ` for some outputs O.
struct Part<'a> {
    y: &'a mut [f32],
    w: Matrix<'a>,
    x: &'a [f32],
    inputs: usize,
}

impl WithSimd for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { y, w, x, inputs } = self;
        let (outputs, rows) = (w.rows(inputs), x.len() / inputs);
        let mut unpacked = vec![0f32; if matches!(w, Matrix::Packed(..)) { TILE * inputs } else { 0 }];
        for start in (0..outputs).step_by(TILE) {
            let words = TILE.min(outputs - start);
            let block: &[f32] = match w.part(start, words, inputs) {
                Matrix::Full(values) => values,
                Matrix::Packed(format, bytes) => {
                    format.dequantize(bytes, &mut unpacked[..words * inputs]);
                    &unpacked[..words * inputs]
                }
            };
            // Unpacked rows are in the cache: several of them against one input, which gives the same sums.
            if let (1, Matrix::Packed(..)) = (rows, w) {
                for from in (0..inputs).step_by(STRETCH) {
                    let x = &x[from..][..STRETCH.min(inputs - from)];
                    let input = |word: usize| &block[word * inputs + from..][..x.len()];
                    let mut add = |word: usize, sum: f32| y[start + word] += sum;
                    by_groups!(words, |w| products(simd, w, x), input, add);
                }
                continue;
            }
            // In the order of memory: a weight that is read once comes fastest so.
            for (word, w) in block.chunks_exact(inputs).enumerate() {
                for (from, w) in (0..inputs).step_by(STRETCH).zip(w.chunks(STRETCH)) {
                    let input = |row: usize| &x[row * inputs + from..][..w.len()];
                    let mut add = |row: usize, sum: f32| y[row * outputs + start + word] += sum;
                    by_groups!(rows, |x| products(simd, x, w), input, add);
                }
            }
        }
    }
}

fn part(y: &mut [f32], w: Matrix, x: &[f32], pairs: Option<&[u32]>, inputs: usize) {
    match (w, pairs) {
        (Matrix::Packed(_, bytes), Some(pairs)) => part_of_pairs(y, bytes.as_chunks().0, pairs, inputs / 2),
        // pulp finds AVX2 by itself; elsewhere than on x86-64 what it finds is every machine's. Eight sums side by side, as in
        // AVX2, since one sum of thousands of numbers is less exact.
        _ if cfg!(target_arch = "x86_64") && Level::current() == Level::Portable => Scalar256b.vectorize(Part { y, w, x, inputs }),
        _ => Arch::new().dispatch(Part { y, w, x, inputs }),
    }
}

/// `y (R, O)` += `x (R, I) · w (O, I)ᵀ` of pairs of bf16, for some outputs O; `inputs` counts pairs.
fn part_of_pairs(y: &mut [f32], w: &[[u8; 4]], x: &[u32], inputs: usize) {
    let (outputs, rows) = (w.len() / inputs, x.len() / inputs);
    for (word, w) in w.chunks_exact(inputs).enumerate() {
        let input = |row: usize| &x[row * inputs..][..inputs];
        let mut add = |row: usize, sum: f32| y[row * outputs + word] += sum;
        by_groups!(rows, |x| pairs_bf16(x, w), input, add);
    }
}

/// `y += x · wᵀ`: `y (R,O)`, `w (O,I)`, `x (R,I)`.
pub fn rows_by_weight(y: &mut [f32], w: Matrix, x: &[f32], inputs: usize) {
    let (outputs, rows) = (w.rows(inputs), x.len() / inputs);
    let is_bf16 = matches!(w, Matrix::Packed(Format::Bf16, _));
    let as_pairs = is_bf16 && has_bf16() && inputs.is_multiple_of(2);
    let pairs: Option<Vec<u32>> = as_pairs.then(|| x.as_chunks().0.iter().copied().map(bf16_pair).collect());
    let rounded: Option<Vec<f32>> = (is_bf16 && !as_pairs).then(|| x.iter().copied().map(rounded_to_bf16).collect());
    let (x, pairs) = (rounded.as_deref().unwrap_or(x), pairs.as_deref());
    // A multiple of the tile, so that only the last task has a ragged end.
    let words = SPAN.div_ceil(inputs).max(outputs.div_ceil(8 * rayon::current_num_threads())).next_multiple_of(TILE);
    if outputs <= words {
        return part(y, w, x, pairs, inputs);
    }
    let cut = |index: usize| w.part(index * words, words.min(outputs - index * words), inputs);
    if rows == 1 {
        return y.par_chunks_mut(words).enumerate().for_each(|(index, y)| part(y, cut(index), x, pairs, inputs));
    }
    let parts: Vec<Vec<f32>> = (0..outputs.div_ceil(words))
        .into_par_iter()
        .map(|index| {
            let w = cut(index);
            let mut y = vec![0f32; w.rows(inputs) * rows];
            part(&mut y, w, x, pairs, inputs);
            y
        })
        .collect();
    for (index, own) in parts.iter().enumerate() {
        for (y, own) in y.chunks_exact_mut(outputs).zip(own.chunks_exact(own.len() / rows)) {
            y[index * words..][..own.len()].iter_mut().zip(own).for_each(|(y, own)| *y += own);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_is_the_plain_product() {
        for (rows, outputs, inputs) in [(1, 5, 37), (3, 700, 100), (4, 8, 16), (9, 1030, 129), (16, 3, 512), (2, 6, 2100)] {
            let value = |i: usize| ((i * 7919 % 101) as f32 - 50.0) / 50.0;
            let (x, w): (Vec<f32>, Vec<f32>) = ((0..rows * inputs).map(value).collect(), (3..3 + outputs * inputs).map(value).collect());
            let mut y = vec![1f32; rows * outputs];
            rows_by_weight(&mut y, Matrix::Full(&w), &x, inputs);
            for (place, y) in y.iter().enumerate() {
                let (row, word) = (place / outputs, place % outputs);
                let exact: f64 = (0..inputs).map(|i| f64::from(x[row * inputs + i]) * f64::from(w[word * inputs + i])).sum();
                assert!((f64::from(*y) - 1.0 - exact).abs() < 1e-4, "{rows} {outputs} {inputs}: {y} and {exact}");
            }
        }
    }
}
