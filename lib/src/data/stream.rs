//! Files of rows → one stream of examples; the ending of a name tells the format.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use crate::data::example::Example;
use crate::data::jsonl::JsonLines;
#[cfg(feature = "data-frames")]
use crate::data::parquet::ParquetRows;
use crate::error::Result;
#[cfg(not(feature = "data-frames"))]
use crate::error::{Error, ErrorKind};

/// The examples of .jsonl and .parquet files, in order and one at a time, so that they need not fit into memory.
///
/// A bad row is an error that names its place, and ends the stream.
#[derive(Debug)]
pub struct ExampleStream {
    waiting: VecDeque<PathBuf>,
    open: Option<Rows>,
}

#[derive(Debug)]
enum Rows {
    Lines(JsonLines),
    #[cfg(feature = "data-frames")]
    Parquet(Box<ParquetRows>),
}

impl Rows {
    fn open(path: &Path) -> Result<Self> {
        match path.extension() {
            #[cfg(feature = "data-frames")]
            Some(extension) if extension == "parquet" => Ok(Self::Parquet(Box::new(ParquetRows::open(path)?))),
            #[cfg(not(feature = "data-frames"))]
            Some(extension) if extension == "parquet" => {
                Err(Error::new(ErrorKind::Data, format!("`{}`: .parquet files are read with the feature `data-frames`", path.display()))
                    .in_file(path)
                    .hint("build `finetuning` with the feature `data-frames`, or convert the file to JSON lines"))
            }
            _ => Ok(Self::Lines(JsonLines::open(path)?)),
        }
    }

    fn next(&mut self) -> Option<Result<Example>> {
        match self {
            Self::Lines(rows) => rows.next(),
            #[cfg(feature = "data-frames")]
            Self::Parquet(rows) => rows.next(),
        }
    }
}

impl ExampleStream {
    /// Opens one file.
    ///
    /// # Errors
    /// [`crate::ErrorKind::File`] when it cannot be opened; [`crate::ErrorKind::Data`] when it has another format.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_all([path.as_ref().to_path_buf()])
    }

    /// Opens several files, to be read one after the other.
    ///
    /// # Errors
    /// As [`ExampleStream::open`], of the first file; those behind it are opened when their turn comes.
    pub fn open_all(paths: impl IntoIterator<Item = PathBuf>) -> Result<Self> {
        let mut waiting: VecDeque<PathBuf> = paths.into_iter().collect();
        let open = waiting.pop_front().map(|path| Rows::open(&path)).transpose()?;
        Ok(Self { waiting, open })
    }

    fn end(&mut self, error: crate::error::Error) -> Option<Result<Example>> {
        (self.open, self.waiting) = (None, VecDeque::new());
        Some(Err(error))
    }
}

impl Iterator for ExampleStream {
    type Item = Result<Example>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.open.as_mut()?.next() {
                Some(Err(error)) => return self.end(error),
                Some(row) => return Some(row),
                None => match self.waiting.pop_front().map(|path| Rows::open(&path)).transpose() {
                    Ok(next) => self.open = next,
                    Err(error) => return self.end(error),
                },
            }
        }
    }
}

#[cfg(all(test, not(feature = "data-frames")))]
mod tests {
    use super::*;

    #[test]
    fn a_parquet_file_is_refused_by_the_name_of_the_feature() {
        let error = ExampleStream::open("rows.parquet").unwrap_err();
        assert!(error.to_string().contains("rows.parquet") && error.to_string().contains("the feature `data-frames`"), "{error}");
    }
}
