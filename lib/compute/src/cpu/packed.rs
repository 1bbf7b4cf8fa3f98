//! Bytes of a packed matrix → its numbers: the formats of weights that answers are computed from without unpacking all.
//!
//! Layouts are those of GGML: F16 and BF16 are 16-bit numbers; Q8_0, Q4_0, Q4_1, Q5_0 and Q5_1 are blocks of 32 numbers with a
//! scale; Q4_K, Q5_K and Q6_K blocks of 256 with scales of their parts.

use rayon::prelude::*;

use crate::cpu::isa::vectorised;

/// Numbers in a block of the integer formats.
const BLOCK: usize = 32;
/// Numbers in a block whose parts have scales.
const LARGE_BLOCK: usize = 256;
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
    /// A scale and 32 numbers of 5 bits, from -16 to 15.
    Q5,
    /// A scale, a least value and 32 numbers of 5 bits, from 0 to 31.
    Q5Offset,
    /// Eight parts with scales and least values of 6 bits, numbers of 4 bits.
    Q4K,
    /// The same with numbers of 5 bits.
    Q5K,
    /// Sixteen parts with scales of 8 bits, numbers of 6 bits, from -32 to 31.
    Q6K,
}

impl Format {
    /// Bytes of `count` numbers, a multiple of the block's.
    pub fn bytes(self, count: usize) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2 * count,
            Self::Q8 => count / BLOCK * 34,
            Self::Q4 => count / BLOCK * 18,
            Self::Q4Offset => count / BLOCK * 20,
            Self::Q5 => count / BLOCK * 22,
            Self::Q5Offset => count / BLOCK * 24,
            Self::Q4K => count / LARGE_BLOCK * 144,
            Self::Q5K => count / LARGE_BLOCK * 176,
            Self::Q6K => count / LARGE_BLOCK * 210,
        }
    }

    /// [`dequantize`], for callers that are compiled for a level themselves.
    #[inline(always)]
    pub(crate) fn dequantize(self, bytes: &[u8], out: &mut [f32]) {
        match self {
            Self::F16 => numbers(bytes, out, half),
            Self::Bf16 => numbers(bytes, out, |bits| f32::from_bits(u32::from(bits) << 16)),
            Self::Q8 => blocks::<34, BLOCK>(bytes, out, |block, out| {
                let scale = scale(block, 0);
                out.iter_mut().zip(&block[2..]).for_each(|(out, byte)| *out = scale * f32::from(*byte as i8));
            }),
            Self::Q4 => blocks::<18, BLOCK>(bytes, out, |block, out| {
                let scale = scale(block, 0);
                nibbles(&block[2..], out, |four| scale * (four - 8.0));
            }),
            Self::Q4Offset => blocks::<20, BLOCK>(bytes, out, |block, out| {
                let (scale, least) = (scale(block, 0), self::scale(block, 1));
                nibbles(&block[4..], out, |four| scale.mul_add(four, least));
            }),
            Self::Q5 => blocks::<22, BLOCK>(bytes, out, |block, out| {
                let scale = scale(block, 0);
                fives(&block[2..], out, |five| scale * (five - 16.0));
            }),
            Self::Q5Offset => blocks::<24, BLOCK>(bytes, out, |block, out| {
                let (scale, least) = (scale(block, 0), self::scale(block, 1));
                fives(&block[4..], out, |five| scale.mul_add(five, least));
            }),
            Self::Q4K => blocks::<144, LARGE_BLOCK>(bytes, out, |block, out| quarters(block, None, &block[16..], out)),
            Self::Q5K => {
                blocks::<176, LARGE_BLOCK>(bytes, out, |block, out| quarters(block, Some(&block[16..48]), &block[48..], out));
            }
            Self::Q6K => blocks::<210, LARGE_BLOCK>(bytes, out, sixes),
        }
    }
}

#[inline(always)]
fn numbers(bytes: &[u8], out: &mut [f32], number: impl Fn(u16) -> f32) {
    out.iter_mut().zip(bytes.as_chunks::<2>().0).for_each(|(out, bits)| *out = number(u16::from_le_bytes(*bits)));
}

#[inline(always)]
fn blocks<const SIZE: usize, const COUNT: usize>(bytes: &[u8], out: &mut [f32], block: impl Fn(&[u8; SIZE], &mut [f32; COUNT])) {
    bytes.as_chunks::<SIZE>().0.iter().zip(out.as_chunks_mut::<COUNT>().0).for_each(|(bytes, out)| block(bytes, out));
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

/// 32 fifth bits in four bytes, then the other four bits as in [`nibbles`].
#[inline(always)]
fn fives(bytes: &[u8], out: &mut [f32; BLOCK], number: impl Fn(f32) -> f32) {
    let fifths = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let (low, high) = out.split_at_mut(BLOCK / 2);
    for (place, ((low, high), byte)) in low.iter_mut().zip(high).zip(&bytes[4..]).enumerate() {
        let fifth = |at: usize| ((fifths >> at & 1) << 4) as u8;
        *low = number(f32::from(byte & 15 | fifth(place)));
        *high = number(f32::from(byte >> 4 | fifth(place + BLOCK / 2)));
    }
}

/// Four runs of 64 numbers: the lower four bits of 32 bytes, then the upper four, each half with its scale and its least value;
/// bit `i` of the byte in `fifths` is the fifth of the number in half `i`.
#[inline(always)]
fn quarters(block: &[u8], fifths: Option<&[u8]>, bytes: &[u8], out: &mut [f32; LARGE_BLOCK]) {
    let (scale, least) = (scale(block, 0), self::scale(block, 1));
    let packed = &block[4..16];
    // The first four scales and least values lie in 6 bits of a byte; the others in 4 bits, and the 2 that are left above.
    let six = |part: usize| match part {
        0..4 => (packed[part] & 63, packed[part + 4] & 63),
        _ => (packed[part + 4] & 15 | packed[part - 4] >> 6 << 4, packed[part + 4] >> 4 | packed[part] >> 6 << 4),
    };
    for (part, out) in out.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
        let (own_scale, own_least) = six(part);
        let (scale, least) = (scale * f32::from(own_scale), least * f32::from(own_least));
        let shift = 4 * (part % 2);
        let run = &bytes[part / 2 * BLOCK..][..BLOCK];
        match fifths {
            None => out.iter_mut().zip(run).for_each(|(out, byte)| *out = scale * f32::from(byte >> shift & 15) - least),
            Some(fifths) => out.iter_mut().zip(run).zip(fifths).for_each(|((out, byte), fifth)| {
                *out = scale * f32::from(byte >> shift & 15 | (fifth >> part & 1) << 4) - least;
            }),
        }
    }
}

/// Two runs of 128 numbers, whose lower four bits are in 64 bytes and whose upper two in 32.
#[inline(always)]
fn sixes(block: &[u8; 210], out: &mut [f32; LARGE_BLOCK]) {
    let scale = scale(&block[208..], 0);
    for (part, out) in out.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
        let (run, quarter) = (part / 4, part % 4);
        let low = &block[64 * run + BLOCK * (quarter % 2)..][..BLOCK];
        let high = &block[128 + BLOCK * run..][..BLOCK];
        let scales = [0, 1].map(|half| scale * f32::from(block[192 + 2 * part + half] as i8));
        for (place, ((out, low), high)) in out.iter_mut().zip(low).zip(high).enumerate() {
            let number = low >> (4 * (quarter / 2)) & 15 | (high >> (2 * quarter) & 3) << 4;
            *out = scales[place / 16] * (f32::from(number) - 32.0);
        }
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

/// Half precision → f32, exact: the exponent is moved as an integer and its bias by a product; infinities and what is no number
/// have the largest exponent in both.
#[inline(always)]
fn half(bits: u16) -> f32 {
    const BIAS: f32 = f32::from_bits((254 - 15) << 23);
    let magnitude = f32::from_bits(u32::from(bits & 0x7fff) << 13) * BIAS;
    let special = if bits & 0x7c00 == 0x7c00 { 0x7f80_0000 } else { 0 };
    f32::from_bits(magnitude.to_bits() | special | u32::from(bits & 0x8000) << 16)
}

vectorised! {
    /// Unpacks as many numbers as `out` has room for, a multiple of the block's, on this thread.
    pub fn dequantize(format: Format, bytes: &[u8], out: &mut [f32]) {
        format.dequantize(bytes, out);
    }
}

/// [`dequantize`] on all threads.
pub fn widen(format: Format, bytes: &[u8], out: &mut [f32]) {
    out.par_chunks_mut(SPAN).zip(bytes.par_chunks(format.bytes(SPAN))).for_each(|(out, bytes)| dequantize(format, bytes, out));
}
