//! Bytes of a packed matrix → its numbers: the formats of weights that answers are computed from without unpacking all.
//!
//! Layouts are those of GGML: F16 and BF16 are 16-bit numbers; Q8_0, Q4_0 and Q4_1 are blocks of 32 numbers with a scale.

use candle_core::quantized::{GgmlDType, QTensor};
use rayon::prelude::*;

use crate::model::simd::vectorised;

/// Numbers in a block of the integer formats.
const BLOCK: usize = 32;
/// Numbers that one task unpacks at least.
const SPAN: usize = 1 << 16;

/// How numbers are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// IEEE half precision.
    F16,
    /// The upper half of an f32. What it is multiplied with is rounded to bf16 as well, as PyTorch does.
    Bf16,
    /// A scale and 32 signed bytes.
    Q8,
    /// A scale and 32 numbers of 4 bits, from -8 to 7.
    Q4,
    /// A scale, a least value and 32 numbers of 4 bits, from 0 to 15.
    Q4Offset,
}

impl Format {
    /// The format of candle's name; none for those that are unpacked by candle.
    pub fn of(dtype: GgmlDType) -> Option<Self> {
        match dtype {
            GgmlDType::F16 => Some(Self::F16),
            GgmlDType::BF16 => Some(Self::Bf16),
            GgmlDType::Q8_0 => Some(Self::Q8),
            GgmlDType::Q4_0 => Some(Self::Q4),
            GgmlDType::Q4_1 => Some(Self::Q4Offset),
            _ => None,
        }
    }

    /// Bytes of `count` numbers, a multiple of the block's.
    pub fn bytes(self, count: usize) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2 * count,
            Self::Q8 => count / BLOCK * 34,
            Self::Q4 => count / BLOCK * 18,
            Self::Q4Offset => count / BLOCK * 20,
        }
    }

    /// Unpacks as many numbers as `out` has room for, a multiple of the block's.
    #[inline(always)]
    pub fn unpack(self, bytes: &[u8], out: &mut [f32]) {
        match self {
            Self::F16 => numbers(bytes, out, half),
            Self::Bf16 => numbers(bytes, out, |bits| f32::from_bits(u32::from(bits) << 16)),
            Self::Q8 => blocks::<34>(bytes, out, |block, out| {
                let scale = scale(block, 0);
                out.iter_mut().zip(&block[2..]).for_each(|(out, byte)| *out = scale * f32::from(*byte as i8));
            }),
            Self::Q4 => blocks::<18>(bytes, out, |block, out| {
                let scale = scale(block, 0);
                nibbles(&block[2..], out, |four| scale * (four - 8.0));
            }),
            Self::Q4Offset => blocks::<20>(bytes, out, |block, out| {
                let (scale, least) = (scale(block, 0), self::scale(block, 1));
                nibbles(&block[4..], out, |four| scale.mul_add(four, least));
            }),
        }
    }
}

#[inline(always)]
fn numbers(bytes: &[u8], out: &mut [f32], number: impl Fn(u16) -> f32) {
    out.iter_mut().zip(bytes.as_chunks::<2>().0).for_each(|(out, bits)| *out = number(u16::from_le_bytes(*bits)));
}

#[inline(always)]
fn blocks<const SIZE: usize>(bytes: &[u8], out: &mut [f32], block: impl Fn(&[u8; SIZE], &mut [f32; BLOCK])) {
    bytes.as_chunks::<SIZE>().0.iter().zip(out.as_chunks_mut::<BLOCK>().0).for_each(|(bytes, out)| block(bytes, out));
}

/// The lower four bits of each byte, then the upper four.
#[inline(always)]
fn nibbles(bytes: &[u8], out: &mut [f32; BLOCK], number: impl Fn(f32) -> f32) {
    let (low, high) = out.split_at_mut(BLOCK / 2);
    for ((low, high), byte) in low.iter_mut().zip(high).zip(bytes) {
        *low = number(f32::from(byte & 15));
        *high = number(f32::from(byte >> 4));
    }
}

#[inline(always)]
fn scale(block: &[u8], place: usize) -> f32 {
    half(u16::from_le_bytes([block[2 * place], block[2 * place + 1]]))
}

/// Two numbers as bf16, rounded to the nearest (halves to even), the first in the lower half.
#[inline(always)]
pub fn bf16_pair([low, high]: [f32; 2]) -> u32 {
    bf16(low) >> 16 | bf16(high) & 0xffff_0000
}

/// The bits of a number whose lower half rounding has made meaningless.
#[inline(always)]
fn bf16(x: f32) -> u32 {
    let bits = x.to_bits();
    if x.is_nan() { bits | 0x0040_0000 } else { bits + 0x7fff + (bits >> 16 & 1) }
}

/// A number as bf16, in 32 bits.
#[inline(always)]
pub fn rounded_to_bf16(x: f32) -> f32 {
    f32::from_bits(bf16(x) & 0xffff_0000)
}

/// Half precision → f32, exact for all finite numbers: the exponent is moved as an integer and its bias by a product.
#[inline(always)]
fn half(bits: u16) -> f32 {
    const BIAS: f32 = f32::from_bits((254 - 15) << 23);
    let magnitude = f32::from_bits(u32::from(bits & 0x7fff) << 13) * BIAS;
    f32::from_bits(magnitude.to_bits() | u32::from(bits & 0x8000) << 16)
}

vectorised! {
    pub(crate) fn unpack_part(format: Format, bytes: &[u8], out: &mut [f32]) {
        format.unpack(bytes, out);
    }
}

/// All numbers of a matrix, row-major.
pub fn unpack(matrix: &QTensor) -> candle_core::Result<Vec<f32>> {
    let Some(format) = Format::of(matrix.dtype()) else {
        return matrix.dequantize(&candle_core::Device::Cpu)?.flatten_all()?.to_vec1();
    };
    let mut out = vec![0f32; matrix.shape().elem_count()];
    widen(format, &matrix.data()?, &mut out);
    Ok(out)
}

/// Unpacks as many numbers as `out` has room for, on all threads.
pub fn widen(format: Format, bytes: &[u8], out: &mut [f32]) {
    out.par_chunks_mut(SPAN).zip(bytes.par_chunks(format.bytes(SPAN))).for_each(|(out, bytes)| unpack_part(format, bytes, out));
}

/// Some rows of a matrix `(V,C)` → `(N,C)`; none where an id is not below V.
pub fn unpack_rows(matrix: &QTensor, ids: &[u32]) -> candle_core::Result<Option<Vec<f32>>> {
    let (rows, width) = matrix.shape().dims2()?;
    if ids.iter().any(|&id| id as usize >= rows) {
        return Ok(None);
    }
    let mut out = vec![0f32; ids.len() * width];
    let Some(format) = Format::of(matrix.dtype()) else {
        let all = unpack(matrix)?;
        ids.iter().zip(out.chunks_exact_mut(width)).for_each(|(&id, out)| out.copy_from_slice(&all[id as usize * width..][..width]));
        return Ok(Some(out));
    };
    let (bytes, row_bytes) = (matrix.data()?, format.bytes(width));
    for (&id, out) in ids.iter().zip(out.chunks_exact_mut(width)) {
        unpack_part(format, &bytes[id as usize * row_bytes..][..row_bytes], out);
    }
    Ok(Some(out))
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;

    #[test]
    fn numbers_are_those_that_candle_unpacks() {
        // Large, tiny and subnormal halves among them.
        let values: Vec<f32> = (0..512).map(|i| ((i * 7919 % 1013) as f32 - 500.0) * [1e-7, 1e-4, 1.0, 100.0][i % 4]).collect();
        let tensor = Tensor::from_vec(values, (8, 64), &Device::Cpu).unwrap();
        for dtype in [GgmlDType::F16, GgmlDType::BF16, GgmlDType::Q8_0, GgmlDType::Q4_0, GgmlDType::Q4_1, GgmlDType::Q5_0] {
            let packed = QTensor::quantize(&tensor, dtype).unwrap();
            let exact: Vec<f32> = packed.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap().to_vec1().unwrap();
            let own = unpack(&packed).unwrap();
            let close = |a: &f32, b: &f32| (a - b).abs() <= 1e-6 * b.abs();
            assert!(own.len() == 512 && own.iter().zip(&exact).all(|(a, b)| close(a, b)), "{dtype:?}");
            let rows = unpack_rows(&packed, &[7, 0]).unwrap().unwrap();
            assert_eq!(rows, [&own[448..], &own[..64]].concat(), "{dtype:?}");
            assert!(unpack_rows(&packed, &[8]).unwrap().is_none());
        }
    }
}
