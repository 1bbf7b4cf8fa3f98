//! Panels of two matrices → a tile of their product, and rows → columns, in the registers of each level of instructions.
//!
//! What is safe here asserts that the process has the level and that all that is read is inside of its slices, once a call; the
//! instructions themselves reach memory by [`raw`] alone.

use crate::cpu::isa::Level;
use crate::cpu::raw;
use crate::cpu::tile::{LANES, Left, Sums, Target, WORDS};

/// What only x86-64 can do, and is asked to do nowhere else.
macro_rules! on_x86 {
    ($call:expr) => {{
        #[cfg(target_arch = "x86_64")]
        {
            $call
        }
        #[cfg(not(target_arch = "x86_64"))]
        unreachable!()
    }};
}

/// `Σ left[r][k] · right[k][c]`, added up in the order of k, by AVX-512.
///
/// # Panics
/// When `left` is too short, or the machine has no such registers: mistakes of this crate.
pub fn tile_wide(left: Left<8>, right: &[[f32; 32]], target: Target) {
    assert!(has_lanes() && left.has(right.len()), "{:?} {}", left.places, left.step);
    // SAFETY: the level is at most the machine's, and every place that is read is inside of `left`: both by the assertion above.
    on_x86!(unsafe { avx512::tile(left, right, target) })
}

/// [`tile_wide`] by AVX2; it panics as that does.
pub fn tile_narrow(left: Left<6>, right: &[[f32; 16]], target: Target) {
    assert!(Level::current() >= Level::Avx2 && left.has(right.len()), "{:?} {}", left.places, left.step);
    // SAFETY: the level is at most the machine's, and every place that is read is inside of `left`: both by the assertion above.
    on_x86!(unsafe { avx2::tile(left, right, target) })
}

/// [`tile_wide`] by what every x86-64 machine has, where a product and its sum are rounded apart.
///
/// # Panics
/// When `left` is too short, or the machine is another: mistakes of this crate.
pub fn tile_portable(left: Left<4>, right: &[[f32; 8]], target: Target) {
    assert!(left.has(right.len()), "{:?} {}", left.places, left.step);
    // SAFETY: SSE2 is a part of x86-64, and every place that is read is inside of `left`, by the assertion above.
    on_x86!(unsafe { sse2::tile(left, right, target) })
}

/// Rows that lie `stride` apart → columns: `out[k][r] = rows[r · stride + k]`, 0 behind the last of `count` rows.
///
/// # Panics
/// When `rows` is too short or `count` is above W: mistakes of this crate.
pub fn transpose<const W: usize>(rows: &[f32], stride: usize, count: usize, out: &mut [[f32; W]]) {
    assert!(count <= W && (count == 0 || (count - 1) * stride + out.len() <= rows.len()), "{count} rows of {}", out.len());
    let whole = if Level::current() >= Level::Avx2 { (count / 8 * 8, out.len() / 8 * 8) } else { (0, 0) };
    #[cfg(target_arch = "x86_64")]
    if whole.0 > 0 {
        // A part of the columns stays in the first cache until all rows are in it.
        for (index, out) in out[..whole.1].chunks_mut(64).enumerate() {
            // SAFETY: the level has AVX2, and of the `count` rows and `out.len()` numbers that the assertion bounds only whole
            // eights are moved: `out` is a multiple of 8 long.
            unsafe { avx2::transpose(&rows[index * 64..], stride, whole.0, out) }
        }
    }
    for row in 0..W {
        for k in if row < whole.0 { whole.1 } else { 0 }..out.len() {
            out[k][row] = if row < count { rows[row * stride + k] } else { 0.0 };
        }
    }
}

/// Whether this process multiplies in the registers of [`lanes`].
pub fn has_lanes() -> bool {
    Level::current() >= Level::Avx512
}

/// Whether it also multiplies pairs of bf16, for [`lanes_bf16`] and [`pairs_bf16`].
pub fn has_bf16() -> bool {
    Level::current() >= Level::Avx512Bf16
}

/// `Σ x[i][lane] · w[word][i]`, added up in the order of i: `x (I, V · LANES)`, each `w (I)`.
///
/// # Panics
/// When lengths do not agree, or the machine has no such registers: mistakes of this crate.
pub fn lanes<const V: usize>(x: &[f32], w: [&[f32]; WORDS]) -> Sums<V> {
    assert!(has_lanes() && w.iter().all(|row| row.len() == w[0].len() && row.len() * V * LANES <= x.len()), "{}", x.len());
    // SAFETY: the level has AVX-512, and the rows of `w` are of one length, for which `x` is long enough: both by the assertion above.
    on_x86!(unsafe { avx512::lanes(x, w) })
}

/// [`lanes`] of pairs of bf16, the first of a pair in the lower half: `x (I/2, V · LANES)`, each `w (I/2)`; it panics as that does.
pub fn lanes_bf16<const V: usize>(x: &[u32], w: [&[[u8; 4]]; WORDS]) -> Sums<V> {
    assert!(has_bf16() && w.iter().all(|row| row.len() == w[0].len() && row.len() * V * LANES <= x.len()), "{}", x.len());
    // SAFETY: the level has the products of bf16, and the lengths agree: both by the assertion above.
    on_x86!(unsafe { avx512::lanes_bf16(x, w) })
}

/// `Σ x · w` of rows of pairs of bf16 with a row of a weight; a row's sum is the same in any company; it panics as [`lanes`] does.
pub fn pairs_bf16<const R: usize>(x: [&[u32]; R], w: &[[u8; 4]]) -> [f32; R] {
    assert!(has_bf16() && x.iter().all(|x| x.len() == w.len()));
    // SAFETY: the level has the products of bf16, and the lengths agree: both by the assertion above.
    on_x86!(unsafe { avx512::pairs_bf16(x, w) })
}

/// Defines the sums of a tile of two registers a row, in the instructions of a set.
#[cfg(target_arch = "x86_64")]
macro_rules! tile {
    ($features:literal, $rows:literal, $columns:literal, [$zero:ident, $load:ident, $store:ident, $all:ident, $multiply_add:ident, $add:ident]) => {
        #[target_feature(enable = $features)]
        pub unsafe fn tile(left: Left<$rows>, right: &[[f32; $columns]], mut target: Target) {
            const HALF: usize = $columns / 2;
            for row in &*target.rows {
                for line in (0..$columns).step_by(16) {
                    _mm_prefetch::<_MM_HINT_T0>(row.as_ptr().wrapping_add(target.first + line).cast());
                }
            }
            let mut sums = [[$zero(); 2]; $rows];
            let mut start = raw::Walk::new(left.values);
            for right in right {
                // SAFETY: `right` has two times HALF numbers.
                let right = unsafe { [$load(raw::part(right, 0, HALF)), $load(raw::part(right, HALF, HALF))] };
                for (sums, place) in sums.iter_mut().zip(left.places) {
                    // SAFETY: the caller asserts that every place is inside of the values at each of the `right.len()` steps.
                    let number = $all(unsafe { start.read(place) });
                    sums[0] = $multiply_add(number, right[0], sums[0]);
                    sums[1] = $multiply_add(number, right[1], sums[1]);
                }
                start.step(left.step);
            }
            let adds = target.add;
            let Some(outs) = target.whole::<$rows, $columns>() else {
                let mut part = [[0f32; $columns]; $rows];
                for (part, sums) in part.iter_mut().zip(sums) {
                    // SAFETY: `part` has two times HALF numbers, which are what is written.
                    unsafe {
                        $store(raw::part_mut(part, 0, HALF), sums[0]);
                        $store(raw::part_mut(part, HALF, HALF), sums[1]);
                    }
                }
                return target.put(&part);
            };
            for (out, sums) in outs.into_iter().zip(sums) {
                // SAFETY: `out` has two times HALF numbers, which are what is read and written.
                unsafe {
                    let (first, second) = (raw::part_mut(out, 0, HALF), raw::part_mut(out, HALF, HALF));
                    $store(first, if adds { $add($load(first), sums[0]) } else { sums[0] });
                    $store(second, if adds { $add($load(second), sums[1]) } else { sums[1] });
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::{
        __m512, __m512bh, __m512i, _MM_HINT_T0, _mm_prefetch, _mm512_add_ps, _mm512_dpbf16_ps, _mm512_fmadd_ps, _mm512_loadu_ps,
        _mm512_loadu_si512, _mm512_maskz_loadu_epi32, _mm512_reduce_add_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps,
        _mm512_storeu_ps,
    };

    use super::{LANES, Left, Sums, Target, WORDS, raw};

    tile!("avx512f", 8, 32, [_mm512_setzero_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_set1_ps, _mm512_fmadd_ps, _mm512_add_ps]);

    /// Pairs as the type that the instruction wants.
    #[target_feature(enable = "avx512f,avx512bf16")]
    fn pairs(bits: __m512i) -> __m512bh {
        // SAFETY: both types are 512 bits without any meaning of their own.
        unsafe { std::mem::transmute(bits) }
    }

    #[target_feature(enable = "avx512f")]
    fn stored<const V: usize>(sums: [[__m512; V]; WORDS]) -> Sums<V> {
        let mut out = [[[0f32; LANES]; V]; WORDS];
        for (out, sums) in out.as_flattened_mut().iter_mut().zip(sums.as_flattened()) {
            // SAFETY: `out` has 16 numbers, which are what is written.
            unsafe { _mm512_storeu_ps(raw::part_mut(out, 0, LANES), *sums) };
        }
        out
    }

    #[target_feature(enable = "avx512f")]
    pub fn lanes<const V: usize>(x: &[f32], w: [&[f32]; WORDS]) -> Sums<V> {
        let mut sums = [[_mm512_setzero_ps(); V]; WORDS];
        for (i, x) in x.chunks_exact(V * LANES).take(w[0].len()).enumerate() {
            let mut rows = [_mm512_setzero_ps(); V];
            for (v, row) in rows.iter_mut().enumerate() {
                // SAFETY: `x` has V · 16 numbers, of which 16 from v · 16 on are read.
                *row = unsafe { _mm512_loadu_ps(raw::part(x, v * LANES, LANES)) };
            }
            for word in 0..WORDS {
                // SAFETY: the caller asserts that every `w` is as long as the first, and i is below that.
                let number = _mm512_set1_ps(unsafe { *raw::part(w[word], i, 1) });
                for v in 0..V {
                    sums[word][v] = _mm512_fmadd_ps(number, rows[v], sums[word][v]);
                }
            }
        }
        stored(sums)
    }

    #[target_feature(enable = "avx512f,avx512bf16")]
    pub fn lanes_bf16<const V: usize>(x: &[u32], w: [&[[u8; 4]]; WORDS]) -> Sums<V> {
        let mut sums = [[_mm512_setzero_ps(); V]; WORDS];
        for (i, x) in x.chunks_exact(V * LANES).take(w[0].len()).enumerate() {
            let mut rows = [pairs(_mm512_set1_epi32(0)); V];
            for (v, row) in rows.iter_mut().enumerate() {
                // SAFETY: `x` has V · 16 numbers, of which 16 from v · 16 on are read.
                *row = pairs(unsafe { _mm512_loadu_si512(raw::part(x, v * LANES, LANES).cast()) });
            }
            for word in 0..WORDS {
                // SAFETY: the caller asserts that every `w` is as long as the first, and i is below that.
                let pair = pairs(_mm512_set1_epi32(i32::from_le_bytes(unsafe { *raw::part(w[word], i, 1) })));
                for v in 0..V {
                    sums[word][v] = _mm512_dpbf16_ps(sums[word][v], pair, rows[v]);
                }
            }
        }
        stored(sums)
    }

    #[target_feature(enable = "avx512f,avx512bf16")]
    pub fn pairs_bf16<const R: usize>(x: [&[u32]; R], w: &[[u8; 4]]) -> [f32; R] {
        let mut sums = [_mm512_setzero_ps(); R];
        for start in (0..w.len()).step_by(LANES) {
            let count = LANES.min(w.len() - start);
            let mask = (0xffffu32 >> (LANES - count)) as u16;
            // SAFETY: the mask leaves out what is behind the last pair; the four bytes of a pair are the number's in memory.
            let pair = pairs(unsafe { _mm512_maskz_loadu_epi32(mask, raw::part(w, start, count).cast()) });
            for (sum, x) in sums.iter_mut().zip(x) {
                // SAFETY: the caller asserts that `x` is as long as `w`; the mask leaves out what is behind the last.
                let row = pairs(unsafe { _mm512_maskz_loadu_epi32(mask, raw::part(x, start, count).cast()) });
                *sum = _mm512_dpbf16_ps(*sum, row, pair);
            }
        }
        sums.map(|sum| _mm512_reduce_add_ps(sum))
    }
}

#[cfg(target_arch = "x86_64")]
mod sse2 {
    use std::arch::x86_64::{
        __m128, _MM_HINT_T0, _mm_add_ps, _mm_loadu_ps, _mm_mul_ps, _mm_prefetch, _mm_set1_ps, _mm_setzero_ps, _mm_storeu_ps,
    };

    use super::{Left, Target, raw};

    tile!("sse2", 4, 8, [_mm_setzero_ps, _mm_loadu_ps, _mm_storeu_ps, _mm_set1_ps, multiply_add, _mm_add_ps]);

    #[target_feature(enable = "sse2")]
    fn multiply_add(a: __m128, b: __m128, sum: __m128) -> __m128 {
        _mm_add_ps(_mm_mul_ps(a, b), sum)
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256, _MM_HINT_T0, _mm_prefetch, _mm256_add_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_permute2f128_ps, _mm256_set1_ps,
        _mm256_setzero_ps, _mm256_shuffle_ps, _mm256_storeu_ps, _mm256_unpackhi_ps, _mm256_unpacklo_ps,
    };

    use super::{Left, Target, raw};

    tile!("avx2,fma", 6, 16, [_mm256_setzero_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_set1_ps, _mm256_fmadd_ps, _mm256_add_ps]);

    /// Moves `count` rows of `out.len()` numbers, multiples of 8, in squares of 8 by 8.
    #[target_feature(enable = "avx2")]
    pub unsafe fn transpose<const W: usize>(rows: &[f32], stride: usize, count: usize, out: &mut [[f32; W]]) {
        let length = out.len();
        let out = out.as_flattened_mut();
        for row in (0..count).step_by(8) {
            for k in (0..length).step_by(8) {
                // SAFETY: the caller asserts that `rows` has all `count` rows, and `length` numbers in the last of them.
                let x: [__m256; 8] = std::array::from_fn(|i| unsafe { _mm256_loadu_ps(raw::part(rows, (row + i) * stride + k, 8)) });
                let low = |i: usize| _mm256_unpacklo_ps(x[i], x[i + 1]);
                let high = |i: usize| _mm256_unpackhi_ps(x[i], x[i + 1]);
                let quads = |i: usize| {
                    [
                        _mm256_shuffle_ps::<0x44>(low(i), low(i + 2)),
                        _mm256_shuffle_ps::<0xee>(low(i), low(i + 2)),
                        _mm256_shuffle_ps::<0x44>(high(i), high(i + 2)),
                        _mm256_shuffle_ps::<0xee>(high(i), high(i + 2)),
                    ]
                };
                for (i, (upper, lower)) in quads(0).into_iter().zip(quads(4)).enumerate() {
                    let (first, last) = (_mm256_permute2f128_ps::<0x20>(upper, lower), _mm256_permute2f128_ps::<0x31>(upper, lower));
                    for (k, column) in [(k + i, first), (k + i + 4, last)] {
                        // SAFETY: k is below `length` and row + 8 at most W, by the caller's assertion.
                        unsafe { _mm256_storeu_ps(raw::part_mut(out, k * W + row, 8), column) };
                    }
                }
            }
        }
    }
}

#[cfg(all(test, feature = "checked", target_arch = "x86_64"))]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    /// A tile of C columns, without the assertion of what is safe, from a left panel that is short by `short` numbers.
    fn is_stopped<const R: usize, const C: usize>(tile: unsafe fn(Left<R>, &[[f32; C]], Target), short: usize) -> bool {
        let (values, right) = (vec![1f32; 3 * R - short], [[1f32; C]; 3]);
        let mut out = vec![[0f32; C]; R];
        let mut rows: Vec<&mut [f32]> = out.iter_mut().map(|row| &mut row[..]).collect();
        let left = Left { values: &values, places: std::array::from_fn(|r| r), step: R };
        let target = Target { rows: &mut rows, first: 0, add: false };
        // SAFETY: whoever calls has asked for the level; a read behind the panel panics in this configuration.
        catch_unwind(AssertUnwindSafe(|| unsafe { tile(left, &right, target) })).is_err()
    }

    #[test]
    fn instructions_that_leave_their_slices_are_stopped() {
        let level = Level::current();
        let stops = |work: &mut dyn FnMut()| catch_unwind(AssertUnwindSafe(work)).is_err();
        assert!(!is_stopped(sse2::tile, 0) && is_stopped(sse2::tile, 1));
        let (numbers, bits) = ([1f32; 64], [1u32; 64]);
        let (few, few_pairs) = ([1f32; 3], [[0u8; 4]; 3]);
        if level >= Level::Avx2 {
            assert!(!is_stopped(avx2::tile, 0) && is_stopped(avx2::tile, 1));
            let mut out = [[0f32; 8]; 8];
            // SAFETY: the level has AVX2; what leaves a slice panics in this configuration.
            let mut transpose = |stride: usize| stops(&mut || unsafe { avx2::transpose(&numbers, stride, 8, &mut out) });
            assert!(!transpose(8) && transpose(9));
        }
        if level >= Level::Avx512 {
            assert!(!is_stopped(avx512::tile, 0) && is_stopped(avx512::tile, 1));
            let mut out = [[[0f32; LANES]; 1]; WORDS];
            let mut lanes = |last: &[f32]| {
                let w = std::array::from_fn(|word| if word < WORDS - 1 { &few[..] } else { last });
                // SAFETY: the level has AVX-512; what leaves a slice panics in this configuration.
                stops(&mut || out = unsafe { avx512::lanes(&numbers, w) })
            };
            assert!(!lanes(&few) && lanes(&few[1..]));
        }
        if level >= Level::Avx512Bf16 {
            let (mut out, mut sum) = ([[[0f32; LANES]; 1]; WORDS], [0f32]);
            let mut lanes = |last: &[[u8; 4]]| {
                let w = std::array::from_fn(|word| if word < WORDS - 1 { &few_pairs[..] } else { last });
                // SAFETY: the level has the products of bf16; what leaves a slice panics in this configuration.
                stops(&mut || out = unsafe { avx512::lanes_bf16(&bits, w) })
            };
            assert!(!lanes(&few_pairs) && lanes(&few_pairs[1..]));
            // SAFETY: as above.
            let mut pairs = |x: &[u32]| stops(&mut || sum = unsafe { avx512::pairs_bf16([x], &few_pairs) });
            assert!(!pairs(&bits[..3]) && pairs(&bits[..2]));
        }
    }
}
