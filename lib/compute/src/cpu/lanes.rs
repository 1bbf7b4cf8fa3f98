//! Some rows times a weight: each row is a lane of a register, so that a number of the weight, once read, meets all of them.
//!
//! A product is added up in the order of the inputs, in any company the same way. AVX-512 only; where a weight is bf16 and the
//! machine multiplies pairs of bf16, nothing is unpacked.

use rayon::prelude::*;

use crate::cpu::gemv::Matrix;
use crate::cpu::microkernel::{has_bf16, has_lanes, lanes, lanes_bf16};
use crate::cpu::packed::{Format, bf16_pair, dequantize, rounded_to_bf16};
use crate::cpu::tile::{LANES, Sums, WORDS};

/// From so many rows on the lanes are full enough.
const FIRST: usize = 9;
/// Rows in a group: two registers.
const GROUP: usize = 2 * LANES;
/// Up to so many rows the walk is faster than a general matrix product.
const LAST: usize = 96;
/// Numbers of the weight that one task reads at least.
const SPAN: usize = 1 << 15;

/// Whether so many rows are multiplied here.
pub fn is_wide(rows: usize) -> bool {
    (FIRST..=LAST).contains(&rows) && has_lanes()
}

/// Up to 32 rows of the input with the lanes inside, `(I, lanes)`.
enum Group {
    Plain(Vec<f32>),
    /// Pairs of bf16, `(I/2, lanes)`.
    Pairs(Vec<u32>),
}

/// `x (R,I)` → groups of rows; those behind the last are 0.
fn groups(x: &[f32], inputs: usize, as_pairs: bool) -> Vec<(usize, Group)> {
    let group = |x: &[f32]| {
        let rows = x.len() / inputs;
        let width = if rows > LANES { GROUP } else { LANES };
        if as_pairs {
            let mut pairs = vec![0u32; inputs / 2 * width];
            for (lane, row) in x.chunks_exact(inputs).enumerate() {
                for (pairs, two) in pairs.chunks_exact_mut(width).zip(row.as_chunks::<2>().0) {
                    pairs[lane] = bf16_pair(*two);
                }
            }
            return (rows, Group::Pairs(pairs));
        }
        let mut plain = vec![0f32; inputs * width];
        for (lane, row) in x.chunks_exact(inputs).enumerate() {
            plain.chunks_exact_mut(width).zip(row).for_each(|(plain, x)| plain[lane] = *x);
        }
        (rows, Group::Plain(plain))
    };
    x.chunks(GROUP * inputs).map(group).collect()
}

/// `y += x · wᵀ`: `y (R,O)`, `w (O,I)`, `x (R,I)`, for rows that [`is_wide`].
pub fn rows_by_weight(y: &mut [f32], w: Matrix, x: &[f32], inputs: usize) {
    let (outputs, rows) = (w.rows(inputs), x.len() / inputs);
    let is_bf16 = matches!(w, Matrix::Packed(Format::Bf16, _));
    let as_pairs = is_bf16 && has_bf16() && inputs.is_multiple_of(2);
    let rounded: Option<Vec<f32>> = (is_bf16 && !as_pairs).then(|| x.iter().copied().map(rounded_to_bf16).collect());
    let groups = groups(rounded.as_deref().unwrap_or(x), inputs, as_pairs);
    let words = SPAN.div_ceil(inputs).max(outputs.div_ceil(8 * rayon::current_num_threads())).next_multiple_of(WORDS);
    let starts: Vec<usize> = (0..outputs).step_by(words).collect();
    let parts: Vec<Vec<f32>> = starts
        .par_iter()
        .map(|&start| {
            let words = words.min(outputs - start);
            let mut part = vec![0f32; rows * words];
            some_words(&mut part, w.part(start, words, inputs), &groups, inputs);
            part
        })
        .collect();
    for (start, part) in starts.into_iter().zip(&parts) {
        let words = part.len() / rows;
        for (y, own) in y.chunks_exact_mut(outputs).zip(part.chunks_exact(words)) {
            y[start..][..words].iter_mut().zip(own).for_each(|(y, own)| *y += own);
        }
    }
}

/// `y (R, O)` for some outputs O.
fn some_words(y: &mut [f32], w: Matrix, groups: &[(usize, Group)], inputs: usize) {
    let outputs = w.rows(inputs);
    let as_pairs = matches!(groups.first(), Some((_, Group::Pairs(_))));
    let mut unpacked = vec![0f32; if as_pairs { 0 } else { WORDS * inputs }];
    for start in (0..outputs).step_by(WORDS) {
        let count = WORDS.min(outputs - start);
        let (numbers, bytes): (&[f32], &[u8]) = match w.part(start, count, inputs) {
            Matrix::Full(values) => (values, &[]),
            Matrix::Packed(_, bytes) if as_pairs => (&[], bytes),
            Matrix::Packed(format, bytes) => {
                dequantize(format, bytes, &mut unpacked[..count * inputs]);
                (&unpacked, &[])
            }
        };
        // Where the last tile is ragged, its last word stands in for what is missing.
        let at = |word: usize, size: usize| word.min(count - 1) * size..(word.min(count - 1) + 1) * size;
        let tile = Tile {
            numbers: std::array::from_fn(|word| numbers.get(at(word, inputs)).unwrap_or_default()),
            pairs: std::array::from_fn(|word| bytes.get(at(word, 2 * inputs)).unwrap_or_default().as_chunks().0),
        };
        let mut first = 0;
        for (rows, group) in groups {
            let place = OutputTile { first, rows: *rows, start, count, outputs };
            if *rows > LANES {
                place.put(y, &tile.sums::<2>(group))
            } else {
                place.put(y, &tile.sums::<1>(group))
            }
            first += rows;
        }
    }
}

/// Rows of the weight that are read together, in one of two forms; the other is empty.
struct Tile<'a> {
    numbers: [&'a [f32]; WORDS],
    pairs: [&'a [[u8; 4]]; WORDS],
}

impl Tile<'_> {
    fn sums<const V: usize>(&self, group: &Group) -> Sums<V> {
        match group {
            Group::Plain(x) => lanes(x, self.numbers),
            Group::Pairs(x) => lanes_bf16(x, self.pairs),
        }
    }
}

/// Where the sums of a tile belong in `y (R, O)`.
struct OutputTile {
    first: usize,
    rows: usize,
    start: usize,
    count: usize,
    outputs: usize,
}

impl OutputTile {
    fn put<const V: usize>(&self, y: &mut [f32], sums: &Sums<V>) {
        for row in 0..self.rows {
            let y = &mut y[(self.first + row) * self.outputs + self.start..][..self.count];
            y.iter_mut().zip(sums).for_each(|(y, sums)| *y = sums[row / LANES][row % LANES]);
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::quantized::{GgmlDType, QTensor};
    use candle_core::{DType, Device, Tensor};

    use super::*;
    use crate::cpu::gemv;

    /// `y` by both walks, from 1 on, and exactly.
    fn check(format: Option<(GgmlDType, Format)>, rows: usize, outputs: usize, inputs: usize) {
        let value = |i: usize| ((i * 7919 % 101) as f32 - 50.0) / 50.0;
        let round = |x: f32| if matches!(format, Some((_, Format::Bf16))) { f32::from_bits(bf16_pair([x, 0.0]) << 16) } else { x };
        let x: Vec<f32> = (0..rows * inputs).map(value).collect();
        let tensor = Tensor::from_vec((3..3 + outputs * inputs).map(value).collect::<Vec<f32>>(), (outputs, inputs), &Device::Cpu).unwrap();
        let packed = QTensor::quantize(&tensor, format.map_or(GgmlDType::F32, |(dtype, _)| dtype)).unwrap();
        let exact: Vec<f32> =
            packed.dequantize(&Device::Cpu).unwrap().to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        let data = packed.data().unwrap();
        let w = format.map_or(Matrix::Full(&exact), |(_, format)| Matrix::Packed(format, &data));
        for is_wide in [true, false].into_iter().filter(|&wide| has_lanes() || !wide) {
            let mut y = vec![1f32; rows * outputs];
            if is_wide {
                rows_by_weight(&mut y, w, &x, inputs)
            } else {
                gemv::rows_by_weight(&mut y, w, &x, inputs)
            }
            for (place, y) in y.iter().enumerate() {
                let (row, word) = (place / outputs, place % outputs);
                let product = |i: usize| f64::from(round(x[row * inputs + i])) * f64::from(exact[word * inputs + i]);
                let sum: f64 = (0..inputs).map(product).sum();
                assert!((f64::from(*y) - 1.0 - sum).abs() < 2e-4 + 1e-5 * sum.abs(), "{format:?} {rows} {outputs} {inputs}: {y} and {sum}");
            }
        }
    }

    #[test]
    fn every_shape_and_format_is_the_plain_product() {
        let formats = [
            None,
            Some((GgmlDType::BF16, Format::Bf16)),
            Some((GgmlDType::F16, Format::F16)),
            Some((GgmlDType::Q8_0, Format::Q8)),
            Some((GgmlDType::Q4_1, Format::Q4Offset)),
        ];
        for format in formats {
            for (rows, outputs, inputs) in
                [(1, 5, 32), (3, 700, 96), (9, 1030, 64), (16, 3, 512), (17, 64, 96), (32, 8, 2048), (70, 100, 160)]
            {
                check(format, rows, outputs, inputs);
            }
        }
        check(None, 11, 9, 37);
    }

    #[test]
    fn a_pair_is_rounded_to_the_nearest() {
        let bits = |x: f32| bf16_pair([x, 0.0]);
        assert_eq!([bits(1.0), bits(-2.0), bits(0.0)], [0x3f80, 0xc000, 0]);
        assert_eq!(
            [bits(f32::from_bits(0x3f80_8000)), bits(f32::from_bits(0x3f81_8000)), bits(f32::from_bits(0x3f80_8001))],
            [0x3f80, 0x3f82, 0x3f81]
        );
        assert!(f32::from_bits(bits(f32::NAN) << 16).is_nan() && f32::from_bits(bits(f32::INFINITY) << 16).is_infinite());
        assert_eq!(bf16_pair([1.0, 2.0]), 0x4000_3f80);
    }
}
