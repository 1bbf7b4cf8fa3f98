//! A few rows times a weight: the products of decoding, where reading the weight is the work.
//!
//! The weight is walked once, four of its rows at a time against two input rows: what is loaded is used more than once.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::model::packed::Format;

/// Up to this many input rows the walk is faster than a general matrix product, where the weight stays in the last cache.
const FEW: usize = 32;
/// The same for a weight of more numbers than this, which comes from memory.
const FEW_OF_LARGE: usize = 8;
const LARGE: usize = 4 << 20;
/// The same where the product would have to unpack the whole weight first.
pub const FEW_PACKED: usize = 96;
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
    fn rows(&self, inputs: usize) -> usize {
        match self {
            Self::Full(values) => values.len() / inputs,
            Self::Packed(format, bytes) => bytes.len() / format.bytes(inputs),
        }
    }

    #[inline(always)]
    fn part(&self, start: usize, rows: usize, inputs: usize) -> Self {
        match *self {
            Self::Full(values) => Self::Full(&values[start * inputs..][..rows * inputs]),
            Self::Packed(format, bytes) => {
                let row = format.bytes(inputs);
                Self::Packed(format, &bytes[start * row..][..rows * row])
            }
        }
    }
}

/// Defines the sums over every pair of some input rows and four rows of the weight.
macro_rules! tile {
    ($name:ident, $($row:literal)+) => {
        #[inline(always)]
        fn $name<S: Simd>(simd: S, x: [&[f32]; [$($row),+].len()], w: [&[f32]; TILE]) -> [[f32; TILE]; [$($row),+].len()] {
            let (x, w) = (x.map(S::as_simd_f32s), w.map(S::as_simd_f32s));
            let count = x[0].0.len();
            let rows = x.map(|x| &x.0[..count]);
            let [w0, w1, w2, w3] = w.map(|w| &w.0[..count]);
            let mut sums = [[simd.splat_f32s(0.0); TILE]; [$($row),+].len()];
            for i in 0..count {
                $(
                    sums[$row][0] = simd.mul_add_f32s(rows[$row][i], w0[i], sums[$row][0]);
                    sums[$row][1] = simd.mul_add_f32s(rows[$row][i], w1[i], sums[$row][1]);
                    sums[$row][2] = simd.mul_add_f32s(rows[$row][i], w2[i], sums[$row][2]);
                    sums[$row][3] = simd.mul_add_f32s(rows[$row][i], w3[i], sums[$row][3]);
                )+
            }
            let tail = |row: usize, word: usize| x[row].1.iter().zip(w[word].1).map(|(x, w)| x * w).sum::<f32>();
            std::array::from_fn(|row| std::array::from_fn(|word| simd.reduce_sum_f32s(sums[row][word]) + tail(row, word)))
        }
    };
}
tile!(two_rows, 0 1);
tile!(one_row, 0);

/// The sum over a pair of rows, added up as in a tile.
#[inline(always)]
fn product<S: Simd>(simd: S, x: &[f32], w: &[f32]) -> f32 {
    let ((x, x_tail), (w, w_tail)) = (S::as_simd_f32s(x), S::as_simd_f32s(w));
    let mut sum = simd.splat_f32s(0.0);
    for (x, w) in x.iter().zip(w) {
        sum = simd.mul_add_f32s(*x, *w, sum);
    }
    simd.reduce_sum_f32s(sum) + x_tail.iter().zip(w_tail).map(|(x, w)| x * w).sum::<f32>()
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
        // One row is multiplied in the order of memory: a weight that is read once comes fastest so.
        if let (Matrix::Full(values), 1) = (w, rows) {
            for (y, w) in y.iter_mut().zip(values.chunks_exact(inputs)) {
                for (x, w) in x.chunks(STRETCH).zip(w.chunks(STRETCH)) {
                    *y += product(simd, x, w);
                }
            }
            return;
        }
        let mut unpacked = match w {
            Matrix::Full(_) => Vec::new(),
            Matrix::Packed(..) => vec![0f32; TILE * inputs],
        };
        for start in (0..outputs).step_by(TILE) {
            let words = TILE.min(outputs - start);
            let block: &[f32] = match w.part(start, words, inputs) {
                Matrix::Full(values) => values,
                Matrix::Packed(format, bytes) => {
                    format.unpack(bytes, &mut unpacked[..words * inputs]);
                    &unpacked
                }
            };
            for from in (0..inputs).step_by(STRETCH) {
                let length = STRETCH.min(inputs - from);
                let input = |row: usize| &x[row * inputs + from..][..length];
                // Where the last tile is ragged, its last row stands in for what is missing.
                let w = std::array::from_fn(|word| &block[word.min(words - 1) * inputs + from..][..length]);
                let mut add = |row: usize, sums: &[f32; TILE]| {
                    y[row * outputs + start..][..words].iter_mut().zip(sums).for_each(|(y, sum)| *y += sum);
                };
                for row in (0..rows - rows % 2).step_by(2) {
                    let [first, second] = two_rows(simd, [input(row), input(row + 1)], w);
                    add(row, &first);
                    add(row + 1, &second);
                }
                if rows % 2 == 1 {
                    add(rows - 1, &one_row(simd, [input(rows - 1)], w)[0]);
                }
            }
        }
    }
}

fn part(y: &mut [f32], w: Matrix, x: &[f32], inputs: usize) {
    Arch::new().dispatch(Part { y, w, x, inputs });
}

/// `y += x · wᵀ`: `y (R,O)`, `w (O,I)`, `x (R,I)`.
pub fn rows_by_weight(y: &mut [f32], w: Matrix, x: &[f32], inputs: usize) {
    let (outputs, rows) = (w.rows(inputs), x.len() / inputs);
    // A multiple of the tile, so that only the last task has a ragged end.
    let words = SPAN.div_ceil(inputs).max(outputs.div_ceil(8 * rayon::current_num_threads())).next_multiple_of(TILE);
    if outputs <= words {
        return part(y, w, x, inputs);
    }
    let cut = |index: usize| w.part(index * words, words.min(outputs - index * words), inputs);
    if rows == 1 {
        return y.par_chunks_mut(words).enumerate().for_each(|(index, y)| part(y, cut(index), x, inputs));
    }
    let parts: Vec<Vec<f32>> = (0..outputs.div_ceil(words))
        .into_par_iter()
        .map(|index| {
            let w = cut(index);
            let mut y = vec![0f32; w.rows(inputs) * rows];
            part(&mut y, w, x, inputs);
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
