//! Two matrices → their product by the `gemm` crate: what is too small for panels, and all of it where no microkernel of ours is.

use crate::cpu::tile::{Matrix, Threads};

/// `out = a · b`, or `out += a · b`; `out` is row-major. On x86-64 the crate takes AVX2 where the machine has it, so it is not
/// asked below that level.
///
/// # Panics
/// When the shapes do not agree: a mistake of this crate, never of its user.
pub fn product(out: &mut [f32], a: Matrix, b: Matrix, accumulate: bool, threads: Threads) {
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
