//! What a product of two matrices is made of: matrices in slices, and tiles of the result.

/// A matrix in a slice: `rows` by `columns`, the element (r, c) at `r · row_stride + c · column_stride`.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    /// The slice, which may hold other numbers as well.
    pub values: &'a [f32],
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
    /// Numbers from one row to the next.
    pub row_stride: usize,
    /// Numbers from one column to the next.
    pub column_stride: usize,
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
    pub fn span(&self) -> usize {
        match (self.rows, self.columns) {
            (0, _) | (_, 0) => 0,
            (rows, columns) => (rows - 1) * self.row_stride + (columns - 1) * self.column_stride + 1,
        }
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

/// Numbers of a left matrix, at each of R places and then a step further and further.
#[derive(Debug, Clone, Copy)]
pub struct Left<'a, const R: usize> {
    /// Where they are.
    pub values: &'a [f32],
    /// The first number of each row.
    pub places: [usize; R],
    /// Numbers from one of a row to its next.
    pub step: usize,
}

impl<const R: usize> Left<'_, R> {
    /// Whether all places of so many steps are inside of the values.
    pub fn has(&self, steps: usize) -> bool {
        steps == 0 || self.places.iter().all(|place| place + (steps - 1) * self.step < self.values.len())
    }
}

/// Sums of a tile, as many as the registers hold → the columns from `first` on of some rows, in place of what is there or
/// added to it.
pub struct Target<'a, 'b> {
    /// Rows of the result, as many as there are of the tile's.
    pub rows: &'a mut [&'b mut [f32]],
    /// The tile's first column.
    pub first: usize,
    /// Whether the sums are added to what is there.
    pub add: bool,
}

impl Target<'_, '_> {
    /// The columns of all R rows, if all are there.
    #[inline(always)]
    pub fn whole<const R: usize, const C: usize>(&mut self) -> Option<[&mut [f32; C]; R]> {
        let rows: &mut [_; R] = self.rows.first_chunk_mut()?;
        if rows.iter().any(|row| row.len() < self.first + C) {
            return None;
        }
        let first = self.first;
        Some(rows.each_mut().map(|row| row[first..].first_chunk_mut().unwrap()))
    }

    /// Puts the sums of the rows and columns that are there.
    #[inline(never)]
    pub fn put<const R: usize, const C: usize>(self, sums: &[[f32; C]; R]) {
        for (row, sums) in self.rows.iter_mut().zip(sums) {
            row[self.first..].iter_mut().zip(sums).for_each(|(out, sum)| *out = if self.add { *out + sum } else { *sum });
        }
    }
}

/// Rows of an input that one register holds, one in each lane.
pub const LANES: usize = 16;
/// Rows of a weight that are read together.
pub const WORDS: usize = 8;

/// Sums of [`WORDS`] rows of a weight with V · [`LANES`] rows of an input.
pub type Sums<const V: usize> = [[[f32; LANES]; V]; WORDS];
