//! Arithmetic as wide as the machine: functions compiled for its instruction set, and the product of two matrices.
//!
//! The one file of this crate with `unsafe`: calling code that was compiled for an instruction set is only allowed
//! after that set has been found, which the macro does right before the call; and the `gemm` crate takes pointers.

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
