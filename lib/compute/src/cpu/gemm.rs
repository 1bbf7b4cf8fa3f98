//! Two matrices → their product, on the registers and caches of this machine (Goto & van de Geijn 2008).
//!
//! The right matrix is laid out in panels as wide as a tile, once for all threads; each thread lays out some rows of the left
//! one in its own cache and walks the panels. A sum is added up in the order of the inner dimension and never cut
//! between threads, so the result does not depend on their timing.

use std::cell::RefCell;
use std::ops::Range;

use rayon::prelude::*;

use crate::cpu::isa::Level;
use crate::cpu::microkernel::{tile_narrow, tile_portable, tile_wide};
use crate::cpu::pack::{pack, pack_panels, panels};
use crate::cpu::plain;
use crate::cpu::tile::{Left, Target};
pub use crate::cpu::tile::{Matrix, Threads};

/// Numbers of the inner dimension that a tile adds up before it is put into the result.
const DEPTH: usize = 512;
/// Rows of the left matrix in a thread's own cache, at most.
const ROWS: usize = 256;
/// Numbers of the right matrix in panels at a time, at most: half of a third cache.
const SHARED: usize = 4 << 20;
/// Fewer multiplications are not worth the panels.
const SMALL: usize = 32 * 32 * 32;
/// A narrower result does not repay that the left matrix is laid out.
const NARROW: usize = 64;
/// Where no microkernel of ours is, the `gemm` crate has some of its own.
const IS_X86: bool = cfg!(target_arch = "x86_64");

// Memory for panels, of the thread that lays them out, up to 16 MB for a right matrix and half of one for a left one. New memory for
// each product gives the same results and takes 2 to 4 % longer (512 rows, 16 to 576 inputs and outputs; more where the allocator
// gives freed memory back to the system).
thread_local! {
    static RIGHT: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    static LEFT: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// `out = a · b`, or `out += a · b`; `out` is row-major.
///
/// # Panics
/// When the shapes do not agree: a mistake of this crate, never of its user.
pub fn matmul(out: &mut [f32], a: Matrix, b: Matrix, accumulate: bool, threads: Threads) {
    matmul_then(out, a, b, accumulate, threads, &mut vec![(); a.rows], |_, ()| {});
}

/// [`matmul`], and `finish` with each row of the result and what belongs to it, while the row is in the cache.
///
/// # Panics
/// As [`matmul`].
pub fn matmul_then<S: Send>(
    out: &mut [f32],
    a: Matrix,
    b: Matrix,
    accumulate: bool,
    threads: Threads,
    states: &mut [S],
    finish: impl Fn(&mut [f32], &mut S) + Sync,
) {
    let (rows, inner, columns) = (a.rows, a.columns, b.columns);
    assert!(b.rows == inner && out.len() == rows * columns, "({rows},{inner}) · ({},{columns}) → {}", b.rows, out.len());
    assert!(a.span() <= a.values.len() && b.span() <= b.values.len() && states.len() == rows, "a matrix is larger than its slice");
    let product = Product { a, inner: 0..inner, accumulate, threads };
    let multiplications = rows * inner * columns;
    let is_small = multiplications < SMALL || rows < 8 || columns < 16;
    match Level::current() {
        Level::Avx512 | Level::Avx512Bf16 if !is_small => product.run(out, b, states, finish, tile_wide),
        Level::Avx2 if !is_small => product.run(out, b, states, finish, tile_narrow),
        Level::Portable if IS_X86 && multiplications > 0 => {
            let threads = if multiplications < SMALL { Threads::One } else { threads };
            Product { threads, ..product }.run(out, b, states, finish, tile_portable);
        }
        _ => {
            plain::product(out, a, b, accumulate, threads);
            finish_all(out, columns, threads, states, finish);
        }
    }
}

/// Calls `finish` with all rows.
fn finish_all<S: Send>(out: &mut [f32], columns: usize, threads: Threads, states: &mut [S], finish: impl Fn(&mut [f32], &mut S) + Sync) {
    let columns = columns.max(1);
    match threads {
        Threads::One => out.chunks_exact_mut(columns).zip(states).for_each(|(row, state)| finish(row, state)),
        Threads::All => out.par_chunks_exact_mut(columns).zip(states).with_min_len(16).for_each(|(row, state)| finish(row, state)),
    }
}

/// A right matrix that is laid out once, for many products on one thread with some of its rows and columns.
pub struct PackedMatrix<'a> {
    matrix: Matrix<'a>,
    panels: Vec<f32>,
}

impl<'a> PackedMatrix<'a> {
    /// Columns that lie together: where a product with some columns begins best.
    pub const COLUMNS: usize = 32;

    /// Lays the matrix out.
    ///
    /// # Panics
    /// When it is larger than its slice: a mistake of this crate.
    pub fn new(matrix: Matrix<'a>) -> Self {
        assert!(matrix.span() <= matrix.values.len(), "a matrix is larger than its slice");
        let panels = match Level::current() {
            Level::Avx512 | Level::Avx512Bf16 => panels::<32>(matrix),
            Level::Avx2 => panels::<16>(matrix),
            Level::Portable if IS_X86 => panels::<8>(matrix),
            Level::Portable => Vec::new(),
        };
        Self { matrix, panels }
    }

    /// `out = a · b`, or `out += a · b`, with some rows of the matrix and the columns of `columns`, which begin at a multiple of
    /// [`PackedMatrix::COLUMNS`].
    ///
    /// # Panics
    /// As [`matmul`].
    pub fn product(&self, out: &mut [f32], a: Matrix, inner: Range<usize>, columns: Range<usize>, accumulate: bool) {
        let b = self.matrix;
        assert!(a.columns == inner.len() && out.len() == a.rows * columns.len() && inner.end <= b.rows && columns.end <= b.columns);
        assert!(a.span() <= a.values.len() && columns.start.is_multiple_of(Self::COLUMNS), "{columns:?}");
        let product = Product { a, inner, accumulate, threads: Threads::One };
        match Level::current() {
            Level::Avx512 | Level::Avx512Bf16 => product.all_rows(out, columns, &self.panels, b.rows, tile_wide),
            Level::Avx2 => product.all_rows(out, columns, &self.panels, b.rows, tile_narrow),
            Level::Portable if IS_X86 => product.all_rows(out, columns, &self.panels, b.rows, tile_portable),
            Level::Portable => {
                let values = &b.values[product.inner.start * b.row_stride + columns.start * b.column_stride..];
                let part = Matrix { values, rows: product.inner.len(), columns: columns.len(), ..b };
                plain::product(out, a, part, accumulate, Threads::One);
            }
        }
    }
}

type Microkernel<const R: usize, const C: usize> = fn(Left<R>, &[[f32; C]], Target);

struct Product<'a> {
    a: Matrix<'a>,
    /// Rows of the right matrix.
    inner: Range<usize>,
    accumulate: bool,
    threads: Threads,
}

/// Some rows of the result, from `row` on: the same columns of each.
struct Part<'a, S> {
    row: usize,
    out: Vec<&'a mut [f32]>,
    states: &'a mut [S],
}

impl Product<'_> {
    fn run<const R: usize, const C: usize, S: Send>(
        &self,
        out: &mut [f32],
        b: Matrix,
        states: &mut [S],
        finish: impl Fn(&mut [f32], &mut S) + Sync,
        microkernel: Microkernel<R, C>,
    ) {
        let (inner, columns) = (b.rows, b.columns);
        let most = (SHARED / inner / C * C).clamp(C, columns.next_multiple_of(C));
        let height = self.height::<R>();
        let mut right = RIGHT.take();
        for first in (0..columns).step_by(most) {
            let width = most.min(columns - first);
            let size = width.next_multiple_of(C) * inner;
            right.resize(right.len().max(size), 0.0);
            let panels = &mut right[..size];
            pack_panels::<C>(b, first, panels, self.threads);
            let rows = out.chunks_mut(height * columns).zip(states.chunks_mut(height)).enumerate();
            let parts: Vec<Part<S>> = rows
                .map(|(index, (rows, states))| {
                    let out = rows.chunks_exact_mut(columns).map(|row| &mut row[first..first + width]).collect();
                    Part { row: index * height, out, states }
                })
                .collect();
            let panels = &*panels;
            let work = |mut part: Part<S>| {
                self.part(part.row, &mut part.out, panels, inner, microkernel);
                if width == columns {
                    part.out.into_iter().zip(part.states).for_each(|(row, state)| finish(row, state));
                }
            };
            match self.threads {
                Threads::One => parts.into_iter().for_each(work),
                Threads::All => parts.into_par_iter().with_max_len(1).for_each(work),
            }
        }
        RIGHT.replace(right);
        if most < columns {
            finish_all(out, columns, self.threads, states, finish);
        }
    }

    /// All rows, on this thread, with some columns of the panels.
    fn all_rows<const R: usize, const C: usize>(
        &self,
        out: &mut [f32],
        columns: Range<usize>,
        panels: &[f32],
        inner: usize,
        microkernel: Microkernel<R, C>,
    ) {
        let mut rows: Vec<&mut [f32]> = out.chunks_exact_mut(columns.len().max(1)).collect();
        let panels = &panels[columns.start * inner..columns.end.next_multiple_of(C) * inner];
        rows.chunks_mut(ROWS).enumerate().for_each(|(index, rows)| self.part(index * ROWS, rows, panels, inner, microkernel));
    }

    /// Rows of a part.
    fn height<const R: usize>(&self) -> usize {
        let threads = if self.threads == Threads::All { rayon::current_num_threads() } else { 1 };
        let rounds = self.a.rows.div_ceil(ROWS * threads) * if threads > 1 { 2 } else { 1 };
        self.a.rows.div_ceil(rounds * threads).next_multiple_of(R)
    }

    /// Multiplies the rows of the left matrix from `row` on with all panels, of `inner` rows each.
    fn part<const R: usize, const C: usize>(
        &self,
        row: usize,
        out: &mut [&mut [f32]],
        panels: &[f32],
        inner: usize,
        microkernel: Microkernel<R, C>,
    ) {
        let a = self.a;
        let count = out.len();
        let is_laid = out.first().is_some_and(|out| out.len() > NARROW);
        let mut laid = LEFT.take();
        for start in (0..a.columns).step_by(DEPTH) {
            let depth = DEPTH.min(a.columns - start);
            let values = |row: usize| &a.values[row * a.row_stride + start * a.column_stride..];
            if is_laid {
                laid.resize(laid.len().max(count.next_multiple_of(R) * depth), 0.0);
                for (index, panel) in laid.chunks_exact_mut(R * depth).take(count.div_ceil(R)).enumerate() {
                    let (row, count) = (row + index * R, R.min(count - index * R));
                    pack(values(row), (a.row_stride, a.column_stride), count, panel.as_chunks_mut::<R>().0);
                }
            }
            let add = self.accumulate || start > 0;
            let first = self.inner.start + start;
            for (index, panel) in panels.chunks_exact(C * inner).enumerate() {
                let panel = &panel.as_chunks().0[first..first + depth];
                for (place, rows) in out.chunks_mut(R).enumerate() {
                    let last = rows.len() - 1;
                    let left = if is_laid {
                        Left { values: &laid[place * R * depth..][..R * depth], places: std::array::from_fn(|r| r), step: R }
                    } else {
                        let places = std::array::from_fn(|r| r.min(last) * a.row_stride);
                        Left { values: values(row + place * R), places, step: a.column_stride }
                    };
                    microkernel(left, panel, Target { rows, first: index * C, add });
                }
            }
        }
        LEFT.replace(laid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| (((i + seed) * 7919 % 101) as f32 - 50.0) / 50.0).collect()
    }

    /// Calls `check` with both layouts of an `(R, C)` matrix.
    fn layouts(rows: usize, columns: usize, seed: usize, mut check: impl FnMut(Matrix)) {
        let values = numbers(rows * columns, seed);
        check(Matrix::new(&values, columns));
        check(Matrix::new(&values, rows).t());
    }

    fn at(m: Matrix, row: usize, column: usize) -> f64 {
        f64::from(m.values[row * m.row_stride + column * m.column_stride])
    }

    fn compare(out: &[f32], a: Matrix, b: Matrix, add: bool) {
        for (place, out) in out.iter().enumerate() {
            let (row, column) = (place / b.columns, place % b.columns);
            let exact: f64 = (0..b.rows).map(|k| at(a, row, k) * at(b, k, column)).sum::<f64>() + f64::from(u8::from(add));
            assert!((f64::from(*out) - exact).abs() < 1e-4 + 1e-5 * exact.abs(), "({row},{column}) of {a:?}: {out} for {exact}");
        }
    }

    #[test]
    fn every_shape_layout_and_kernel_is_the_plain_product() {
        let shapes = [(64, 64, 64), (9, 17, 300), (8, 16, 1030), (37, 33, 40), (300, 70, 65), (1, 90, 500), (130, 5, 90), (64, 200, 600)];
        for (rows, columns, inner) in shapes {
            layouts(rows, inner, 0, |a| {
                layouts(inner, columns, 3, |b| {
                    for (add, threads) in [(false, Threads::All), (true, Threads::One)] {
                        let mut out = vec![1f32; rows * columns];
                        let mut rows_seen = vec![0; rows];
                        matmul_then(&mut out, a, b, add, threads, &mut rows_seen, |row, seen| {
                            assert_eq!(row.len(), columns);
                            *seen += 1;
                        });
                        compare(&out, a, b, add);
                        assert_eq!(rows_seen, vec![1; rows]);
                        if Level::current() >= Level::Avx2 {
                            let mut out = vec![1f32; rows * columns];
                            let product = Product { a, inner: 0..inner, accumulate: add, threads };
                            product.run(&mut out, b, &mut rows_seen, |_, _| {}, tile_narrow);
                            compare(&out, a, b, add);
                        }
                    }
                });
            });
        }
    }

    #[test]
    fn a_wide_right_matrix_is_laid_out_in_turns() {
        let (a, b) = (numbers(9 * 3000, 0), numbers(3000 * 1500, 1));
        let (a, b) = (Matrix::new(&a, 3000), Matrix::new(&b, 1500));
        let (mut out, mut rows_seen) = (vec![0f32; 9 * 1500], vec![0; 9]);
        matmul_then(&mut out, a, b, false, Threads::All, &mut rows_seen, |row, seen| *seen += row.len());
        compare(&out, a, b, false);
        assert_eq!(rows_seen, [1500; 9]);
    }

    #[test]
    fn a_part_of_a_laid_out_matrix_is_that_part() {
        layouts(100, 90, 5, |b| {
            let laid = PackedMatrix::new(b);
            for (inner, columns) in [(0..100, 0..90), (7..50, 32..90), (99..100, 64..80), (0..64, 0..33)] {
                let values = &b.values[inner.start * b.row_stride + columns.start * b.column_stride..];
                let part = Matrix { values, rows: inner.len(), columns: columns.len(), ..b };
                layouts(21, inner.len(), 2, |a| {
                    let mut out = vec![1f32; 21 * columns.len()];
                    laid.product(&mut out, a, inner.clone(), columns.clone(), true);
                    compare(&out, a, part, true);
                });
            }
        });
    }
}
