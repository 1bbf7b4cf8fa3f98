//! JSON of others → a value that is not deeper than [`JSON_DEPTH`](crate::border::limits::JSON_DEPTH), or an error with file, line and column.
//!
//! serde_json stops at that depth by itself: its feature `unbounded_depth`, which another crate turns on, only adds the method
//! that takes the stop away, and nothing here calls it. `tests/border` sees to it.

use std::path::Path;

use serde::de::DeserializeOwned;

use crate::border::file;
use crate::border::limits::Limit;
use crate::error::{Error, ErrorKind, Result};

/// A value of a file's bytes.
///
/// # Errors
/// An error of `kind` for what is no JSON, is too deep, or does not fit the type; `hint` says what to do.
pub fn parse<T: DeserializeOwned>(bytes: &[u8], path: &Path, kind: ErrorKind, hint: &str) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| {
        let what = if error.is_data() { "not as expected" } else { "not valid JSON" };
        Error::new(kind, format!("`{}` is {what}: {error}", path.display())).hint(hint).in_file(path).because(error)
    })
}

/// A file's value.
///
/// # Errors
/// As [`file::read`] and [`parse`].
pub fn read<T: DeserializeOwned>(path: &Path, limit: Limit, kind: ErrorKind, hint: &str) -> Result<T> {
    parse(&file::read(path, limit)?, path, kind, hint)
}

/// [`read`] of a file that need not be there.
///
/// # Errors
/// As [`read`], but for a file that is missing.
pub fn read_if_there<T: DeserializeOwned>(path: &Path, limit: Limit, kind: ErrorKind, hint: &str) -> Result<Option<T>> {
    file::read_if_there(path, limit)?.map(|bytes| parse(&bytes, path, kind, hint)).transpose()
}
