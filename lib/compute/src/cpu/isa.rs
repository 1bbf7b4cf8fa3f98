//! Arithmetic as wide as the machine: functions compiled for its instruction set, and the product of two matrices.
//!
//! The one file of this crate with `unsafe`: calling code that was compiled for an instruction set is only allowed
//! after that set has been found, which the macro does right before the call; the `gemm` crate and loads take pointers.

use crate::cpu::tile::{LANES, Left, Matrix, Sums, Target, Threads, WORDS};

/// Defines a function whose body is compiled three times on x86-64: for AVX-512, for AVX2 with FMA, and for any machine.
/// What the body calls must be `#[inline(always)]`, or it stays compiled for any machine.
macro_rules! vectorised {
    ($(#[$attribute:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $output:ty)? $body:block) => {
        $(#[$attribute])*
        $visibility fn $name($($argument: $type),*) $(-> $output)? {
            #[inline(always)]
            fn portable($($argument: $type),*) $(-> $output)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                fn avx512($($argument: $type),*) $(-> $output)? {
                    portable($($argument),*)
                }

                #[target_feature(enable = "avx2,fma")]
                fn avx2($($argument: $type),*) $(-> $output)? {
                    portable($($argument),*)
                }

                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw")
                        && is_x86_feature_detected!("avx512dq") && is_x86_feature_detected!("avx512vl")
                    {
                        // SAFETY: all six features of `avx512` were found on this machine in the two lines above.
                        return unsafe { avx512($($argument),*) };
                    }
                    // SAFETY: both features of `avx2` were found on this machine two lines above.
                    return unsafe { avx2($($argument),*) };
                }
            }
            portable($($argument),*)
        }
    };
}
pub(crate) use vectorised;

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

/// `out = a · b`, or `out += a · b`, by the `gemm` crate: of any shape, on any machine.
///
/// # Panics
/// When the shapes do not agree: a mistake of this crate, never of its user.
pub fn any_product(out: &mut [f32], a: Matrix, b: Matrix, accumulate: bool, threads: Threads) {
    let (rows, inner, columns) = (a.rows, a.columns, b.columns);
    assert!(b.rows == inner && out.len() == rows * columns, "({rows},{inner}) · ({},{columns}) → {}", b.rows, out.len());
    assert!(a.span() <= a.values.len() && b.span() <= b.values.len(), "a matrix is larger than its slice");
    let parallelism = match threads {
        Threads::One => gemm::Parallelism::None,
        Threads::All => gemm::Parallelism::Rayon(0),
    };
    let stride = |n: usize| n as isize;
    // SAFETY: `out` holds rows · columns elements, which its strides (columns, 1) cover exactly; the two spans asserted
    // above bound every element that is read of `a` and `b`; `out` is borrowed mutably, so it overlaps neither.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            out.as_mut_ptr(),
            1,
            stride(columns),
            accumulate,
            a.values.as_ptr(),
            stride(a.column_stride),
            stride(a.row_stride),
            b.values.as_ptr(),
            stride(b.column_stride),
            stride(b.row_stride),
            1.0f32,
            1.0f32,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// `Σ left[r][k] · right[k][c]`, added up in the order of k; of AVX-512, [`has_lanes`].
///
/// # Panics
/// When `left` is too short, or the machine has no such registers: mistakes of this crate.
pub fn tile_wide(left: Left<8>, right: &[[f32; 32]], target: Target) {
    assert!(has_lanes() && left.has(right.len()), "{:?} {}", left.places, left.step);
    // SAFETY: avx512f was found, and every place that is read is inside of `left`, by the assertion above.
    on_x86!(unsafe { avx512::tile(left, right, target) })
}

/// Whether this machine has the registers of [`tile_narrow`].
pub fn has_fma() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// [`tile_wide`] of AVX2, [`has_fma`]; it panics as that does.
pub fn tile_narrow(left: Left<6>, right: &[[f32; 16]], target: Target) {
    assert!(has_fma() && left.has(right.len()), "{:?} {}", left.places, left.step);
    // SAFETY: avx2 and fma were found, and every place that is read is inside of `left`, by the assertion above.
    on_x86!(unsafe { avx2::tile(left, right, target) })
}

/// Rows that lie `stride` apart → columns: `out[k][r] = rows[r · stride + k]`, 0 behind the last of `count` rows.
///
/// # Panics
/// When `rows` is too short or `count` is above W: mistakes of this crate.
pub fn transpose<const W: usize>(rows: &[f32], stride: usize, count: usize, out: &mut [[f32; W]]) {
    assert!(count <= W && (count == 0 || (count - 1) * stride + out.len() <= rows.len()), "{count} rows of {}", out.len());
    let whole = if has_fma() { (count / 8 * 8, out.len() / 8 * 8) } else { (0, 0) };
    #[cfg(target_arch = "x86_64")]
    if whole.0 > 0 {
        // A part of the columns stays in the first cache until all rows are in it.
        for (index, out) in out[..whole.1].chunks_mut(64).enumerate() {
            // SAFETY: avx2 was found, and of the `count` rows and `out.len()` numbers that the assertion bounds only whole
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

/// Whether this machine has the registers of [`lanes`].
pub fn has_lanes() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx512f");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Whether it also multiplies pairs of bf16, for [`lanes_bf16`] and [`pairs_bf16`].
pub fn has_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    return has_lanes() && is_x86_feature_detected!("avx512bf16");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// `Σ x[i][lane] · w[word][i]`, added up in the order of i: `x (I, V · LANES)`, each `w (I)`.
///
/// # Panics
/// When lengths do not agree, or the machine has no such registers: mistakes of this crate.
pub fn lanes<const V: usize>(x: &[f32], w: [&[f32]; WORDS]) -> Sums<V> {
    assert!(has_lanes() && w.iter().all(|row| row.len() == w[0].len() && row.len() * V * LANES <= x.len()), "{}", x.len());
    // SAFETY: avx512f was found in the assertion above.
    on_x86!(unsafe { avx512::lanes(x, w) })
}

/// [`lanes`] of pairs of bf16, the first of a pair in the lower half: `x (I/2, V · LANES)`, each `w (I/2)`; it panics as that does.
pub fn lanes_bf16<const V: usize>(x: &[u32], w: [&[[u8; 4]]; WORDS]) -> Sums<V> {
    assert!(has_bf16() && w.iter().all(|row| row.len() == w[0].len() && row.len() * V * LANES <= x.len()), "{}", x.len());
    // SAFETY: avx512f and avx512bf16 were found in the assertion above.
    on_x86!(unsafe { avx512::lanes_bf16(x, w) })
}

/// `Σ x · w` of rows of pairs of bf16 with a row of a weight; a row's sum is the same in any company; it panics as [`lanes`] does.
pub fn pairs_bf16<const R: usize>(x: [&[u32]; R], w: &[[u8; 4]]) -> [f32; R] {
    assert!(has_bf16() && x.iter().all(|x| x.len() == w.len()));
    // SAFETY: avx512f and avx512bf16 were found in the assertion above.
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
            let mut start = left.values.as_ptr();
            for right in right {
                // SAFETY: `right` has two times HALF numbers.
                let right = unsafe { [$load(right.as_ptr()), $load(right.as_ptr().add(HALF))] };
                for (sums, place) in sums.iter_mut().zip(left.places) {
                    // SAFETY: the caller asserts that every place is inside of the values at each of the `right.len()` steps.
                    let number = $all(unsafe { *start.add(place) });
                    sums[0] = $multiply_add(number, right[0], sums[0]);
                    sums[1] = $multiply_add(number, right[1], sums[1]);
                }
                start = start.wrapping_add(left.step);
            }
            let adds = target.add;
            let Some(outs) = target.whole::<$rows, $columns>() else {
                let mut part = [[0f32; $columns]; $rows];
                for (part, sums) in part.iter_mut().zip(sums) {
                    // SAFETY: `part` has two times HALF numbers, which are what is written.
                    unsafe {
                        $store(part.as_mut_ptr(), sums[0]);
                        $store(part.as_mut_ptr().add(HALF), sums[1]);
                    }
                }
                return target.put(&part);
            };
            for (out, sums) in outs.into_iter().zip(sums) {
                // SAFETY: `out` has two times HALF numbers, which are what is read and written.
                unsafe {
                    let (first, second) = (out.as_mut_ptr(), out.as_mut_ptr().add(HALF));
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

    use super::{LANES, Left, Sums, Target, WORDS};

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
            unsafe { _mm512_storeu_ps(out.as_mut_ptr(), *sums) };
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
                *row = unsafe { _mm512_loadu_ps(x.as_ptr().add(v * LANES)) };
            }
            for word in 0..WORDS {
                // SAFETY: the caller asserts that every `w` is as long as the first, and i is below that.
                let number = _mm512_set1_ps(unsafe { *w[word].get_unchecked(i) });
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
                *row = pairs(unsafe { _mm512_loadu_si512(x.as_ptr().add(v * LANES).cast()) });
            }
            for word in 0..WORDS {
                // SAFETY: the caller asserts that every `w` is as long as the first, and i is below that.
                let pair = pairs(_mm512_set1_epi32(i32::from_le_bytes(unsafe { *w[word].get_unchecked(i) })));
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
            let mask = (0xffffu32 >> (LANES - LANES.min(w.len() - start))) as u16;
            // SAFETY: the mask leaves out what is behind the last pair; the four bytes of a pair are the number's in memory.
            let pair = pairs(unsafe { _mm512_maskz_loadu_epi32(mask, w.as_ptr().add(start).cast()) });
            for (sum, x) in sums.iter_mut().zip(x) {
                // SAFETY: the caller asserts that `x` is as long as `w`; the mask leaves out what is behind the last.
                let row = pairs(unsafe { _mm512_maskz_loadu_epi32(mask, x.as_ptr().add(start).cast()) });
                *sum = _mm512_dpbf16_ps(*sum, row, pair);
            }
        }
        sums.map(|sum| _mm512_reduce_add_ps(sum))
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256, _MM_HINT_T0, _mm_prefetch, _mm256_add_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_permute2f128_ps, _mm256_set1_ps,
        _mm256_setzero_ps, _mm256_shuffle_ps, _mm256_storeu_ps, _mm256_unpackhi_ps, _mm256_unpacklo_ps,
    };

    use super::{Left, Target};

    tile!("avx2,fma", 6, 16, [_mm256_setzero_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_set1_ps, _mm256_fmadd_ps, _mm256_add_ps]);

    /// Moves `count` rows of `out.len()` numbers, multiples of 8, in squares of 8 by 8.
    #[target_feature(enable = "avx2")]
    pub unsafe fn transpose<const W: usize>(rows: &[f32], stride: usize, count: usize, out: &mut [[f32; W]]) {
        let length = out.len();
        let out = out.as_flattened_mut();
        for row in (0..count).step_by(8) {
            for k in (0..length).step_by(8) {
                // SAFETY: the caller asserts that `rows` has all `count` rows, and `length` numbers in the last of them.
                let x: [__m256; 8] = std::array::from_fn(|i| unsafe { _mm256_loadu_ps(rows.as_ptr().add((row + i) * stride + k)) });
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
                        unsafe { _mm256_storeu_ps(out.as_mut_ptr().add(k * W + row), column) };
                    }
                }
            }
        }
    }
}
