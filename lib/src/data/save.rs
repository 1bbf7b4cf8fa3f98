//! Rows → a file from which the same rows are read, with their types; what a format cannot hold is refused by name.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use ruzstd::encoding::{CompressionLevel, compress};
use serde_json::Value;

#[cfg(feature = "data-frames")]
use crate::data::columns::Columns;
use crate::data::dataset::Dataset;
use crate::data::delimited::{Kind, is_header};
use crate::data::example::{Example, kind_of, short};
use crate::data::format::{Packing, packing_of_name};
use crate::data::jsonl;
use crate::error::{Error, ErrorKind, Result};
#[cfg(feature = "data-frames")]
use crate::util::names::quoted as names;
#[cfg(feature = "data-frames")]
use crate::util::notice;
use crate::util::write::replace;

impl Dataset {
    /// Writes the rows in the format of the name's suffix: `.parquet`, or `.jsonl`, `.json`, `.csv` and `.tsv`, which are packed
    /// where `.gz` or `.zst` stands behind; an older file stays as it was when writing fails.
    ///
    /// # Errors
    /// [`ErrorKind::Name`] for another suffix; else as [`Dataset::to_csv`] and [`Dataset::to_parquet`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        match suffix(path).as_str() {
            "jsonl" | "ndjson" => self.to_jsonl(path),
            "json" => self.to_json(path),
            "csv" | "tsv" => self.to_csv(path),
            #[cfg(feature = "data-frames")]
            "parquet" => self.to_parquet(path),
            other => Err(Error::new(ErrorKind::Name, format!("`{}`: rows are not written as `.{other}`", path.display()))
                .hint("name it .jsonl, .json, .csv, .tsv or .parquet; all but the last are packed where .gz or .zst stands behind")),
        }
    }

    /// Writes the rows as JSON lines, which keep every type; packed where the name ends in `.gz` or `.zst`.
    ///
    /// # Errors
    /// [`ErrorKind::File`] when it cannot be written; an older file stays as it was then.
    pub fn to_jsonl(&self, path: impl AsRef<Path>) -> Result<()> {
        let line = |example: &Example| {
            let mut bytes = Vec::new();
            jsonl::line(&mut bytes, example);
            bytes
        };
        to_file(path.as_ref(), || self.iter().map(line))
    }

    /// Writes the rows as one JSON list of objects; packed as [`Dataset::to_jsonl`].
    ///
    /// # Errors
    /// [`ErrorKind::File`] when it cannot be written.
    pub fn to_json(&self, path: impl AsRef<Path>) -> Result<()> {
        let row = |(row, example): (usize, &Example)| {
            let mut bytes = if row == 0 { b"[\n".to_vec() } else { b",\n".to_vec() };
            jsonl::object(&mut bytes, example);
            bytes
        };
        let end = if self.is_empty() { b"[]\n".to_vec() } else { b"\n]\n".to_vec() };
        to_file(path.as_ref(), || self.iter().enumerate().map(row).chain([end.clone()]))
    }

    /// Writes the rows as CSV with a header; with tabs where the name ends in `.tsv`; packed as [`Dataset::to_jsonl`]. A null and a
    /// missing field are an empty cell, an empty text is `""`.
    ///
    /// # Errors
    /// [`ErrorKind::Data`], before anything is written, for what would be read back as something else: a list or an object, a
    /// column of texts that are all numbers, numbers beside texts. [`ErrorKind::File`] when it cannot be written.
    pub fn to_csv(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let delimiter = if suffix(path) == "tsv" { '\t' } else { ',' };
        let columns = self.columns();
        for (column, values) in columns.iter().zip(self.by_columns(&columns)) {
            check_column(column, &values, columns.len())?;
        }
        if let Some(row) = self.iter().position(|example| example.fields().is_empty()).filter(|_| columns.is_empty()) {
            return Err(cannot("CSV", "", row, "a row without a field is no line"));
        }
        for (row, example) in self.iter().enumerate() {
            let cells = example.values(&columns).into_iter().map(|value| value.and_then(Value::as_str).unwrap_or_default());
            if is_header(cells, columns.iter().map(String::as_str)) {
                return Err(cannot(
                    "CSV",
                    &columns[0],
                    row,
                    "the row has the names of the columns, and would be read back as a second header",
                ));
            }
        }
        let line = |cells: Vec<String>| (cells.join(&delimiter.to_string()) + "\n").into_bytes();
        let header = || line(columns.iter().map(|column| quoted(column, delimiter)).collect());
        let row = |example: &Example| {
            line(example.values(&columns).into_iter().map(|value| quoted_value(value.unwrap_or(&Value::Null), delimiter)).collect())
        };
        to_file(path, || [header()].into_iter().chain(self.iter().map(row)))
    }

    /// Writes the rows as a .parquet file, as pandas, polars and Python's `datasets` read them: lists and objects keep their form,
    /// whole numbers all 64 bits. A field that a row or an object lacks is null when it is read back; for objects that is said
    /// aloud, since a null may be learnt.
    ///
    /// # Errors
    /// [`ErrorKind::Data`], before anything is written, for a column whose values have no type in common (texts beside numbers,
    /// whole numbers beside numbers with a point) and for an object without a field. [`ErrorKind::File`] when it cannot be
    /// written.
    #[cfg(feature = "data-frames")]
    pub fn to_parquet(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        if packing_of_name(path).is_some() {
            return Err(Error::new(ErrorKind::Name, format!("`{}`: a .parquet file is packed by itself", path.display()))
                .hint("leave out what stands behind `.parquet`"));
        }
        let columns = Columns::of(self).map_err(|(column, row, why)| cannot("Parquet", &column, row, &why))?;
        let uneven = columns.uneven();
        if !uneven.is_empty() {
            notice::warn(format_args!(
                "`{}`: the objects in {} do not have the same fields; one that an object lacks is null when it is read back",
                path.display(),
                names(&uneven)
            ));
        }
        let make = |aside: &Path| {
            let mut file = BufWriter::with_capacity(1 << 20, File::create_new(aside)?);
            columns.write(&mut file).map_err(io::Error::other)?;
            file.flush()?;
            file.get_ref().sync_all()
        };
        replace(path, make).map_err(|error| Error::file(path, error))
    }
}

/// The suffix that says the format, in lower case: the last one, but for that of a packing.
fn suffix(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let mut suffixes = name.split('.').skip(1).collect::<Vec<_>>();
    if packing_of_name(path).is_some() && suffixes.len() > 1 {
        suffixes.pop();
    }
    suffixes.pop().unwrap_or_default().to_string()
}

/// Writes pieces to a file, packed where its name says so: aside first, so that an older one stays when writing fails.
fn to_file<I: Iterator<Item = Vec<u8>>>(path: &Path, pieces: impl Fn() -> I) -> Result<()> {
    let make = |aside: &Path| {
        let mut file = BufWriter::with_capacity(1 << 20, File::create_new(aside)?);
        match packing_of_name(path) {
            None => pieces().try_for_each(|piece| file.write_all(&piece))?,
            Some(Packing::Gzip) => {
                let mut encoder = GzEncoder::new(&mut file, Compression::default());
                pieces().try_for_each(|piece| encoder.write_all(&piece))?;
                encoder.finish()?;
            }
            Some(Packing::Zstandard) => {
                let mut kept = Kept { file: &mut file, failed: None };
                compress(Pieces { left: pieces(), open: Vec::new(), given: 0 }, &mut kept, CompressionLevel::Fastest);
                kept.failed.map_or(Ok(()), Err)?;
            }
        }
        file.flush()?;
        file.get_ref().sync_all()
    };
    replace(path, make).map_err(|error| Error::file(path, error))
}

/// Pieces as something to read.
struct Pieces<I> {
    left: I,
    open: Vec<u8>,
    given: usize,
}

impl<I: Iterator<Item = Vec<u8>>> Read for Pieces<I> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.open.len() {
            let Some(next) = self.left.next() else { return Ok(0) };
            (self.open, self.given) = (next, 0);
        }
        let count = buffer.len().min(self.open.len() - self.given);
        buffer[..count].copy_from_slice(&self.open[self.given..self.given + count]);
        self.given += count;
        Ok(count)
    }
}

/// A file whose first error is kept: the encoder of Zstandard panics on one.
struct Kept<W> {
    file: W,
    failed: Option<io::Error>,
}

impl<W: Write> Write for Kept<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.failed.is_none() {
            self.failed = self.file.write_all(bytes).err();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Refuses a column that would be read back as something else.
fn check_column(column: &str, values: &[&Value], columns: usize) -> Result<()> {
    let unnamed = column.is_empty() || column.starts_with("sep=");
    if unnamed {
        return Err(cannot("CSV", column, 0, "its name would be read back as another"));
    }
    let values = || values.iter().copied().enumerate();
    for (row, value) in values() {
        match value {
            Value::Array(_) | Value::Object(_) => {
                return Err(cannot("CSV", column, row, &format!("{} is no cell: {}", kind_of(value), short(value))));
            }
            Value::Null if columns == 1 => return Err(cannot("CSV", column, row, "a null in the only column is an empty line")),
            _ => {}
        }
    }
    let kind = values().map(|(_, value)| Kind::of(&plain(value))).fold(Kind::Empty, Kind::join);
    for (row, value) in values() {
        let back = kind.value(&plain(value), value.is_string());
        if back != *value {
            let why = format!("{} would be read back as {}: {}", kind_of(value), kind_of(&back), short(value));
            return Err(cannot("CSV", column, row, &why));
        }
    }
    Ok(())
}

/// What a format has no way to write.
fn cannot(format: &str, column: &str, row: usize, why: &str) -> Error {
    Error::new(ErrorKind::Data, format!("column `{column}`, row {row}: {format} cannot hold it: {why}"))
        .hint("write it by `to_jsonl`, which keeps all types, make one type of the column (`map`), or leave it out")
        .in_row(row)
}

/// A value as the text of a cell.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn quoted_value(value: &Value, delimiter: char) -> String {
    match value {
        Value::String(text) if text.is_empty() => "\"\"".to_string(),
        Value::String(text) => quoted(text, delimiter),
        other => plain(other),
    }
}

/// A cell, in quotes where it needs them.
fn quoted(text: &str, delimiter: char) -> String {
    // A header of one column without a comma could be taken for one with semicolons or tabs.
    let needs = text.contains([delimiter, '"', '\n', '\r', ';', '\t']) || text.starts_with('\u{feff}');
    if needs { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_string() }
}
