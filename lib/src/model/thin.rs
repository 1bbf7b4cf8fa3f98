//! A few rows times a weight: the products of decoding, where reading the weight is the work.
//!
//! The weight is walked once, four of its rows at a time against two input rows: what is loaded is used more than once.

use rayon::prelude::*;

use crate::model::kernels::dot;
use crate::model::simd::vectorised;

/// Up to this many input rows the walk is faster than a general matrix product.
pub const FEW: usize = 8;
const TILE: usize = 4;
const LANES: usize = 16;
/// Numbers of the weight that one task reads: less is done before another thread wakes.
const SPAN: usize = 1 << 16;

/// Sums over the lanes of every pair of two input rows and four rows of the weight.
#[inline(always)]
fn tile(x: [&[f32]; 2], w: [&[f32]; TILE]) -> [[f32; TILE]; 2] {
    let (x, w) = (x.map(<[f32]>::as_chunks::<LANES>), w.map(<[f32]>::as_chunks::<LANES>));
    let count = x[0].0.len();
    let (x0, x1) = (&x[0].0[..count], &x[1].0[..count]);
    let [w0, w1, w2, w3] = w.map(|w| &w.0[..count]);
    let mut sums = [[[0f32; LANES]; TILE]; 2];
    for i in 0..count {
        for lane in 0..LANES {
            sums[0][0][lane] = x0[i][lane].mul_add(w0[i][lane], sums[0][0][lane]);
            sums[0][1][lane] = x0[i][lane].mul_add(w1[i][lane], sums[0][1][lane]);
            sums[0][2][lane] = x0[i][lane].mul_add(w2[i][lane], sums[0][2][lane]);
            sums[0][3][lane] = x0[i][lane].mul_add(w3[i][lane], sums[0][3][lane]);
            sums[1][0][lane] = x1[i][lane].mul_add(w0[i][lane], sums[1][0][lane]);
            sums[1][1][lane] = x1[i][lane].mul_add(w1[i][lane], sums[1][1][lane]);
            sums[1][2][lane] = x1[i][lane].mul_add(w2[i][lane], sums[1][2][lane]);
            sums[1][3][lane] = x1[i][lane].mul_add(w3[i][lane], sums[1][3][lane]);
        }
    }
    let mut out = [[0f32; TILE]; 2];
    for row in 0..2 {
        for word in 0..TILE {
            let tail: f32 = x[row].1.iter().zip(w[word].1).map(|(x, w)| x * w).sum();
            out[row][word] = sums[row][word].iter().sum::<f32>() + tail;
        }
    }
    out
}

vectorised! {
    /// `y (R, O)` += `x (R, I) · w (O, I)ᵀ` for some outputs O.
    fn part(y: &mut [f32], w: &[f32], x: &[f32], inputs: usize) {
        let (outputs, rows) = (w.len() / inputs, x.len() / inputs);
        let input = |row: usize| &x[row * inputs..][..inputs];
        for (block, w) in w.chunks(TILE * inputs).enumerate() {
            let words = w.len() / inputs;
            let weight = |word: usize| &w[word * inputs..][..inputs];
            let mut row = 0;
            while words == TILE && row + 2 <= rows {
                let sums = tile([input(row), input(row + 1)], std::array::from_fn(weight));
                for (place, sums) in sums.iter().enumerate() {
                    y[(row + place) * outputs + block * TILE..][..TILE].iter_mut().zip(sums).for_each(|(y, sum)| *y += sum);
                }
                row += 2;
            }
            for row in row..rows {
                for word in 0..words {
                    y[row * outputs + block * TILE + word] += dot(input(row), weight(word));
                }
            }
        }
    }
}

/// `y += x · wᵀ`: `y (R,O)`, `w (O,I)`, `x (R,I)`.
pub fn rows_by_weight(y: &mut [f32], w: &[f32], x: &[f32], inputs: usize) {
    let (outputs, rows) = (w.len() / inputs, x.len() / inputs);
    // A multiple of the tile, so that only the last task has a ragged end.
    let words = SPAN.div_ceil(inputs).max(outputs.div_ceil(8 * rayon::current_num_threads())).next_multiple_of(TILE);
    if outputs <= words {
        return part(y, w, x, inputs);
    }
    if rows == 1 {
        return y.par_chunks_mut(words).zip(w.par_chunks(words * inputs)).for_each(|(y, w)| part(y, w, x, inputs));
    }
    let parts: Vec<Vec<f32>> = w
        .par_chunks(words * inputs)
        .map(|w| {
            let mut y = vec![0f32; w.len() / inputs * rows];
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
        for (rows, outputs, inputs) in [(1, 5, 37), (3, 700, 100), (4, 8, 16), (9, 1030, 129), (16, 3, 512)] {
            let value = |i: usize| ((i * 7919 % 101) as f32 - 50.0) / 50.0;
            let (x, w): (Vec<f32>, Vec<f32>) = ((0..rows * inputs).map(value).collect(), (3..3 + outputs * inputs).map(value).collect());
            let mut y = vec![1f32; rows * outputs];
            rows_by_weight(&mut y, &w, &x, inputs);
            for (place, y) in y.iter().enumerate() {
                let (row, word) = (place / outputs, place % outputs);
                let exact: f64 = (0..inputs).map(|i| f64::from(x[row * inputs + i]) * f64::from(w[word * inputs + i])).sum();
                assert!((f64::from(*y) - 1.0 - exact).abs() < 1e-4, "{rows} {outputs} {inputs}: {y} and {exact}");
            }
        }
    }
}
