//! Files of rows → one stream of examples; a file's name and content tell how its rows are written.

use std::collections::VecDeque;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::border::file::Stamp;
use crate::data::bad::{Bad, OnError, Row};
use crate::data::delimited::DelimitedRows;
use crate::data::document::Document;
use crate::data::example::Example;
use crate::data::format::Format;
use crate::data::input::{Input, noted};
use crate::data::jsonl::JsonLines;
use crate::data::options::DataOptions;
#[cfg(feature = "data-frames")]
use crate::data::parquet::ParquetRows;
use crate::data::plain::PlainRows;
#[cfg(feature = "data-frames")]
use crate::data::workbook::Workbook;
use crate::error::{Error, ErrorKind, Result};
use crate::source::resolve::DataFile;
use crate::util::names::quoted;
use crate::util::notice;

/// The examples of files of any format, in order and one at a time, so that they need not fit into memory. Each file is
/// opened, and fetched where it is on the hub, when its turn comes.
///
/// A bad row is an error that names its place, and ends the stream, unless [`DataOptions::with_on_error`] says otherwise.
pub struct ExampleStream {
    parts: VecDeque<Part>,
    open: Option<Open>,
    options: DataOptions,
    given: usize,
    left_out: usize,
    /// The first row that was left out, in words.
    first: Option<String>,
}

/// A part of some files' rows.
pub(crate) struct Part {
    pub(crate) files: VecDeque<DataFile>,
    pub(crate) skip: usize,
    pub(crate) take: Option<usize>,
}

/// A file that is read.
struct Open {
    path: PathBuf,
    rows: Rows,
    /// What it was before its first byte was read.
    stamp: Option<Stamp>,
}

/// The rows of a file.
enum Rows {
    Lines(Box<JsonLines>),
    Document(Box<Document>),
    Delimited(Box<DelimitedRows>),
    Plain(Box<PlainRows>),
    #[cfg(feature = "data-frames")]
    Parquet(Box<ParquetRows>),
    #[cfg(feature = "data-frames")]
    Sheet(Workbook),
}

impl Rows {
    fn open(path: &Path, options: &DataOptions) -> Result<Self> {
        let input = Input::open(path, options.format)?;
        Ok(match input.format {
            Format::Jsonl => Self::Lines(Box::new(JsonLines::new(input))),
            Format::Json => Self::Document(Box::new(Document::open(input, options.field.as_deref())?)),
            Format::Csv | Format::Tsv => Self::Delimited(Box::new(DelimitedRows::open(input, options.infer_types)?)),
            Format::Text => Self::Plain(Box::new(PlainRows::new(input, options.sample_by))),
            #[cfg(feature = "data-frames")]
            Format::Parquet => Self::Parquet(Box::new(ParquetRows::open_columns(path, &options.columns)?)),
            #[cfg(feature = "data-frames")]
            Format::Excel => Self::Sheet(Workbook::open(path, options.field.as_deref())?),
            #[cfg(not(feature = "data-frames"))]
            Format::Parquet | Format::Excel => {
                let message = format!("`{}`: .parquet and .xlsx files are read with the feature `data-frames`", path.display());
                return Err(Error::new(ErrorKind::Data, message)
                    .in_file(path)
                    .hint("build `finetuning` with the feature `data-frames`, or convert the file to JSON lines"));
            }
        })
    }

    fn row(&mut self) -> Option<Row> {
        match self {
            Self::Lines(rows) => rows.row(),
            Self::Document(rows) => rows.row(),
            Self::Delimited(rows) => rows.row(),
            Self::Plain(rows) => rows.row(),
            #[cfg(feature = "data-frames")]
            Self::Parquet(rows) => rows.row(),
            #[cfg(feature = "data-frames")]
            Self::Sheet(rows) => rows.row(),
        }
    }
}

impl ExampleStream {
    /// Opens one file.
    ///
    /// # Errors
    /// [`crate::ErrorKind::File`] when it cannot be opened; [`crate::ErrorKind::Data`] when it holds no rows.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_all([path.as_ref().to_path_buf()])
    }

    /// Opens several files, to be read one after the other.
    ///
    /// # Errors
    /// As [`ExampleStream::open`], of the first file; those behind it are opened when their turn comes.
    pub fn open_all(paths: impl IntoIterator<Item = PathBuf>) -> Result<Self> {
        let files = paths.into_iter().map(DataFile::Local).collect();
        Self::of_parts([Part { files, skip: 0, take: None }].into(), DataOptions::new())
    }

    /// Opens parts of files; the first file is opened at once.
    pub(crate) fn of_parts(parts: VecDeque<Part>, options: DataOptions) -> Result<Self> {
        let mut stream = Self { parts, open: None, options, given: 0, left_out: 0, first: None };
        stream.advance()?;
        Ok(stream)
    }

    /// Opens the next file; false where there is none.
    fn advance(&mut self) -> Result<bool> {
        while let Some(part) = self.parts.front_mut() {
            let Some(file) = part.files.pop_front() else {
                self.parts.pop_front();
                continue;
            };
            let path = file.path()?;
            let stamp = Stamp::of(&path);
            let rows = Rows::open(&path, &self.options)?;
            // Some formats are read twice: the second time it has to be the same.
            if stamp.is_some_and(|stamp| stamp.is_new(&path)) {
                return Err(changed(&path));
            }
            self.open = Some(Open { path, rows, stamp });
            return Ok(true);
        }
        Ok(false)
    }

    /// The next row of the open file, with the columns that are asked for.
    fn row(&mut self) -> Option<(PathBuf, Row)> {
        let Open { path, rows, .. } = self.open.as_mut()?;
        let row = rows.row()?;
        let columns = &self.options.columns;
        let row = if columns.is_empty() { row } else { row.and_then(|row| chosen(row, columns, path).map_err(Bad::row)) };
        // A path is copied where it is needed alone.
        Some((if row.is_err() { path.clone() } else { PathBuf::new() }, row))
    }

    /// Ends the stream, and says how many rows were left out.
    fn end(&mut self) {
        (self.open, self.parts) = (None, VecDeque::new());
        if let Some(first) = self.first.take() {
            let (count, rows) = (self.left_out, if self.left_out == 1 { "row was" } else { "rows were" });
            notice::warn(format_args!("{count} {rows} left out because of errors; the first: {first}"));
        }
    }

    fn step(&mut self) -> Result<Option<Example>> {
        loop {
            if self.options.limit.is_some_and(|limit| self.given >= limit) || self.parts.is_empty() {
                return Ok(None);
            }
            if self.parts.front().is_some_and(|part| part.take == Some(0)) {
                self.parts.pop_front();
                self.open = None;
            }
            let Some((path, row)) = self.row() else {
                let rewritten = |open: &Open| open.stamp.is_some_and(|stamp| stamp.is_rewritten(&open.path));
                if let Some(Open { path, .. }) = self.open.take().filter(rewritten) {
                    return Err(changed(&path));
                }
                if self.advance()? {
                    continue;
                }
                return Ok(None);
            };
            match row {
                Ok(row) => {
                    let Some(part) = self.parts.front_mut() else { return Ok(None) };
                    if part.skip > 0 {
                        part.skip -= 1;
                        continue;
                    }
                    part.take = part.take.map(|take| take - 1);
                    self.given += 1;
                    return Ok(Some(row));
                }
                Err(bad) if !bad.goes_on || matches!(self.options.on_error, OnError::Stop) => return Err(bad.error),
                Err(bad) => {
                    self.left_out += 1;
                    self.first.get_or_insert_with(|| bad.error.message().to_string());
                    if let OnError::Collect(list) = &self.options.on_error {
                        list.note(noted(&path, &bad.error));
                    }
                }
            }
        }
    }
}

fn changed(path: &Path) -> Error {
    Error::new(ErrorKind::Data, format!("`{}` was changed while it was read: its rows may be a mixture", path.display()))
        .hint("let the program that writes it come to its end, and read it again")
        .in_file(path)
}

/// A row's columns in the order in which they are asked for.
fn chosen(mut row: Example, columns: &[String], path: &Path) -> Result<Example> {
    let names = || row.names();
    if let Some(missing) = columns.iter().find(|name| row.value(name).is_none()) {
        let message = format!("`{}`: a row has no column `{missing}`; it has {}", path.display(), quoted(&names()));
        return Err(Error::new(ErrorKind::Data, message)
            .hint("name columns that every row has in `DataOptions::with_columns`")
            .in_file(path));
    }
    Ok(Example::new(columns.iter().filter_map(|name| row.remove(name).map(|value| (name.clone(), value))).collect::<Vec<_>>()))
}

impl Iterator for ExampleStream {
    type Item = Result<Example>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.step() {
            Ok(Some(row)) => Some(Ok(row)),
            Ok(None) => {
                self.end();
                None
            }
            Err(error) => {
                self.end();
                Some(Err(error))
            }
        }
    }
}

impl fmt::Debug for ExampleStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = self.open.as_ref().map(|open| &open.path);
        formatter.debug_struct("ExampleStream").field("open", &open).field("given", &self.given).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(feature = "data-frames")))]
mod tests {
    use super::*;

    #[test]
    fn a_parquet_file_is_refused_by_the_name_of_the_feature() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.parquet");
        std::fs::write(&path, "PAR1").unwrap();
        let error = ExampleStream::open(path).unwrap_err();
        assert!(error.to_string().contains("rows.parquet") && error.to_string().contains("the feature `data-frames`"), "{error}");
    }
}
