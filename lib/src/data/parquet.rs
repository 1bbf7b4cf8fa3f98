//! A .parquet file, the format of most data sets on the hub → examples, one row at a time.

use std::fmt;
use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;
use parquet::record::Row;
use parquet::record::reader::RowIter;

use crate::border::guard::guarded;
use crate::border::pages;
use crate::data::example::Example;
use crate::error::{Error, ErrorKind, Result};

/// The rows of a .parquet file; a group of rows is read when its first row is asked for.
pub struct ParquetRows {
    path: PathBuf,
    rows: RowIter<'static>,
    row: usize,
}

impl ParquetRows {
    /// Opens a .parquet file; compression is Snappy or none.
    ///
    /// # Errors
    /// [`ErrorKind::File`] when it cannot be opened; [`ErrorKind::Data`] when it is no .parquet file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        let reader = pages::open(&path)?;
        Ok(Self { rows: RowIter::from_file_into(Box::new(reader)), path, row: 0 })
    }
}

impl Iterator for ParquetRows {
    type Item = Result<Example>;

    fn next(&mut self) -> Option<Self::Item> {
        self.row += 1;
        let (place, rows, number) = (format!("`{}`, row {}", self.path.display(), self.row), &mut self.rows, self.row);
        let next = || rows.next().map(|row| row.map(|row| example(&row)).map_err(|error| bad(&self.path, Some(number), error))).transpose();
        guarded(ErrorKind::Data, place, next).transpose()
    }
}

impl fmt::Debug for ParquetRows {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ParquetRows").field("path", &self.path).field("row", &self.row).finish_non_exhaustive()
    }
}

fn example(row: &Row) -> Example {
    Example::new(row.get_column_iter().map(|(name, field)| (name.clone(), field.to_json_value())))
}

/// `row` counts from 1.
fn bad(path: &Path, row: Option<usize>, error: ParquetError) -> Error {
    let place = row.map_or(String::new(), |row| format!(", row {row}"));
    let bad = Error::new(ErrorKind::Data, format!("`{}`{place}: {error}", path.display()))
        .hint("fetch the file again, or convert it to JSON lines and name that file")
        .in_file(path)
        .because(error);
    match row {
        Some(row) => bad.in_row(row),
        None => bad,
    }
}
