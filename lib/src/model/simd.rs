//! Arithmetic as wide as the machine: functions compiled for its instruction set, and the product of two matrices.
//!
//! The one file of this crate with `unsafe`: calling code that was compiled for an instruction set is only allowed
//! after that set has been found, which the macro does right before the call; the `gemm` crate and loads take pointers.

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

/// A matrix in a slice: `rows` by `columns`, the element (r, c) at `r · row_stride + c · column_stride`.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Rows of `columns` numbers, one after the other.
    pub fn new(values: &'a [f32], columns: usize) -> Self {
        Self { values, rows: values.len() / columns.max(1), columns, row_stride: columns, column_stride: 1 }
    }

    /// The transposed matrix, without a copy.
    pub fn t(self) -> Self {
        Self { rows: self.columns, columns: self.rows, row_stride: self.column_stride, column_stride: self.row_stride, ..self }
    }

    /// Index of the last element plus one.
    fn span(&self) -> usize {
        match (self.rows, self.columns) {
            (0, _) | (_, 0) => 0,
            (rows, columns) => (rows - 1) * self.row_stride + (columns - 1) * self.column_stride + 1,
        }
    }
}

/// `out = a · b`, or `out += a · b`; `out` is row-major. The sum over a product's inner dimension is never cut between
/// threads, so the result does not depend on their timing.
///
/// # Panics
/// When the shapes do not agree: a mistake of this crate, never of its user.
pub fn matmul(out: &mut [f32], a: Matrix, b: Matrix, accumulate: bool, threads: Threads) {
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

/// Who computes a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// The calling thread, which is one of several at work.
    One,
    /// All threads of the pool.
    All,
}

/// Rows of an input that one register holds, one in each lane.
pub const LANES: usize = 16;
/// Rows of a weight that are read together.
pub const WORDS: usize = 8;

/// Sums of [`WORDS`] rows of a weight with V · [`LANES`] rows of an input.
pub type Sums<const V: usize> = [[[f32; LANES]; V]; WORDS];

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
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: avx512f was found in the assertion above.
        unsafe { avx512::lanes(x, w) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    unreachable!()
}

/// [`lanes`] of pairs of bf16, the first of a pair in the lower half: `x (I/2, V · LANES)`, each `w (I/2)`.
///
/// # Panics
/// As [`lanes`].
pub fn lanes_bf16<const V: usize>(x: &[u32], w: [&[[u8; 4]]; WORDS]) -> Sums<V> {
    assert!(has_bf16() && w.iter().all(|row| row.len() == w[0].len() && row.len() * V * LANES <= x.len()), "{}", x.len());
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: avx512f and avx512bf16 were found in the assertion above.
        unsafe { avx512::lanes_bf16(x, w) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    unreachable!()
}

/// `Σ x · w` of rows of pairs of bf16 with a row of a weight; a row's sum is the same in any company.
///
/// # Panics
/// As [`lanes`].
pub fn pairs_bf16<const R: usize>(x: [&[u32]; R], w: &[[u8; 4]]) -> [f32; R] {
    assert!(has_bf16() && x.iter().all(|x| x.len() == w.len()));
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: avx512f and avx512bf16 were found in the assertion above.
        unsafe { avx512::pairs_bf16(x, w) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    unreachable!()
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::{
        __m512, __m512bh, __m512i, _mm512_dpbf16_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_maskz_loadu_epi32,
        _mm512_reduce_add_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps,
    };

    use super::{LANES, Sums, WORDS};

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

/// Keeps memory that is given back in the process, so that the next training pass need not ask the system for it again
/// page by page; or, at the end of a run, gives back what is free. Only the GNU allocator knows how; elsewhere nothing happens.
pub fn keep_memory(keep: bool) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt and malloc_trim take plain numbers, may be called from any thread at any time, and change only when
    // the allocator returns free memory to the system.
    unsafe {
        const USUAL: libc::c_int = 32 << 20;
        libc::mallopt(libc::M_MMAP_THRESHOLD, if keep { 1 << 30 } else { USUAL });
        libc::mallopt(libc::M_TRIM_THRESHOLD, if keep { libc::c_int::MAX } else { USUAL });
        if !keep {
            libc::malloc_trim(0);
        }
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let _ = keep;
}
