//! Parts of a matrix → panels: what a tile reads at a time lies together, in the order in which it is read.

use rayon::prelude::*;

use crate::cpu::microkernel::transpose;
use crate::cpu::tile::{Matrix, Threads};

/// All panels of a right matrix, C columns each.
pub fn panels<const C: usize>(matrix: Matrix) -> Vec<f32> {
    let mut panels = vec![0f32; matrix.columns.next_multiple_of(C) * matrix.rows];
    pack_panels::<C>(matrix, 0, &mut panels, Threads::One);
    panels
}

/// The columns of a right matrix from `first` on, as many as the panels hold, 0 behind the last: panels of `(rows, C)`.
pub fn pack_panels<const C: usize>(b: Matrix, first: usize, panels: &mut [f32], threads: Threads) {
    let part = |(index, panel): (usize, &mut [f32])| {
        let column = first + index * C;
        let strides = (b.column_stride, b.row_stride);
        pack(&b.values[column * b.column_stride..], strides, C.min(b.columns - column), panel.as_chunks_mut::<C>().0);
    };
    let size = C * b.rows.max(1);
    match threads {
        Threads::One => panels.chunks_exact_mut(size).enumerate().for_each(part),
        Threads::All => panels.par_chunks_exact_mut(size).enumerate().for_each(part),
    }
}

/// `panel[k][i] = values[i · strides.0 + k · strides.1]`, 0 where i is not below `count`.
pub fn pack<const W: usize>(values: &[f32], strides: (usize, usize), count: usize, panel: &mut [[f32; W]]) {
    if strides.1 == 1 {
        return transpose(values, strides.0, count, panel);
    }
    for (k, row) in panel.iter_mut().enumerate() {
        let values = &values[k * strides.1..];
        match values.first_chunk() {
            Some(whole) if strides.0 == 1 && count == W => *row = *whole,
            _ => *row = std::array::from_fn(|i| if i < count { values[i * strides.0] } else { 0.0 }),
        }
    }
}
