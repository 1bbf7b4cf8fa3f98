//! A data set's name → its rows, whole or one by one.

use crate::data::dataset::Dataset;
use crate::data::stream::ExampleStream;
use crate::error::Result;
use crate::hub::options::HubOptions;
use crate::source::resolve::data_files;

/// Reads a whole data set by its name (see [`data_files`]).
pub fn load_dataset(name: &str) -> Result<Dataset> {
    load_dataset_with(name, &HubOptions::default())
}

/// [`load_dataset`] with a revision, a token, or another cache.
pub fn load_dataset_with(name: &str, options: &HubOptions) -> Result<Dataset> {
    Dataset::from_stream(stream_dataset_with(name, options)?, name)
}

/// Reads a data set row by row, so that a large file need not fit into memory.
pub fn stream_dataset(name: &str) -> Result<ExampleStream> {
    stream_dataset_with(name, &HubOptions::default())
}

/// [`stream_dataset`] with a revision, a token, or another cache.
pub fn stream_dataset_with(name: &str, options: &HubOptions) -> Result<ExampleStream> {
    ExampleStream::open_all(data_files(name, options)?)
}
