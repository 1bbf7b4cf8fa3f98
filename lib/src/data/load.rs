//! A data set's name → its rows, whole or one by one.

use crate::data::dataset::Dataset;
use crate::data::stream::ExampleStream;
use crate::error::Result;
use crate::hub::options::HubOptions;
use crate::source::resolve::data_files;

/// Reads a whole data set by its name (see [`data_files`]).
///
/// # Errors
/// [`crate::ErrorKind::Name`] when nothing has this name; otherwise as [`Dataset::from_jsonl`].
pub fn load_dataset(name: &str) -> Result<Dataset> {
    load_dataset_with(name, &HubOptions::default())
}

/// [`load_dataset`] with a revision, a token, or another cache.
///
/// # Errors
/// As [`load_dataset`].
pub fn load_dataset_with(name: &str, options: &HubOptions) -> Result<Dataset> {
    Dataset::from_stream(stream_dataset_with(name, options)?, name)
}

/// Reads a data set row by row, so that a large file need not fit into memory.
///
/// # Errors
/// As [`load_dataset`]; a bad row is an item of the stream.
pub fn stream_dataset(name: &str) -> Result<ExampleStream> {
    stream_dataset_with(name, &HubOptions::default())
}

/// [`stream_dataset`] with a revision, a token, or another cache.
///
/// # Errors
/// As [`stream_dataset`].
pub fn stream_dataset_with(name: &str, options: &HubOptions) -> Result<ExampleStream> {
    ExampleStream::open_all(data_files(name, options)?)
}
