//! A row that cannot be read → an error that ends the reading, or an entry of a list.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Error;

/// What a reader does with a row that it cannot read.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum OnError {
    /// The row is an error, and reading ends.
    #[default]
    Stop,
    /// The row is left out; how many were is said on stderr at the end.
    Skip,
    /// As [`OnError::Skip`], and each row is noted in this list.
    Collect(BadRows),
}

/// A row that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BadRow {
    /// Its file.
    pub file: PathBuf,
    /// The line where it begins, or its row in a .parquet file; counted from 1.
    pub line: usize,
    /// What is wrong, with the line, the column and the field.
    pub reason: String,
}

impl fmt::Display for BadRow {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.reason)
    }
}

/// The rows that a reader left out; clones share one list.
///
/// ```
/// use finetuning::*;
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("rows.jsonl");
/// std::fs::write(&path, "{\"text\": \"a\"}\n{\"text\": oh}\n").unwrap();
/// let bad = BadRows::new();
/// let options = DataOptions::new().with_on_error(OnError::Collect(bad.clone()));
/// let data = load_dataset_with(path.to_str().unwrap(), &options)?;
/// assert_eq!((data.len(), bad.list()[0].line), (1, 2));
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct BadRows(Arc<Mutex<Vec<BadRow>>>);

impl BadRows {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// The rows so far, in the order in which they were read.
    pub fn list(&self) -> Vec<BadRow> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many rows there are so far.
    pub fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether there is none so far.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn note(&self, row: BadRow) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(row);
    }
}

/// What a reader found in place of a row.
#[derive(Debug)]
pub(crate) struct Bad {
    pub(crate) error: Error,
    /// Whether the rows behind it can be read.
    pub(crate) goes_on: bool,
}

impl Bad {
    /// A row that is bad by itself.
    pub(crate) fn row(error: Error) -> Box<Self> {
        Box::new(Self { error, goes_on: true })
    }

    /// The end of what can be read.
    pub(crate) fn end(error: Error) -> Box<Self> {
        Box::new(Self { error, goes_on: false })
    }
}

/// A row, or what is in its place.
pub(crate) type Row = Result<crate::data::example::Example, Box<Bad>>;
