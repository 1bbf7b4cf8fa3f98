//! Rows → a file from which the same rows are read, with their types; what a format cannot hold is refused by name.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use crate::data::dataset::Dataset;
use crate::data::delimited::Kind;
use crate::data::example::{kind_of, short};
use crate::data::jsonl;
use crate::error::{Error, ErrorKind, Result};
use crate::util::write::replace;

impl Dataset {
    /// Writes the rows in the format of the name's suffix: `.jsonl`, `.json`, `.csv` or `.tsv`, each also with `.gz` behind it;
    /// an older file stays as it was when writing fails.
    ///
    /// # Errors
    /// [`ErrorKind::Name`] for another suffix; else as [`Dataset::to_csv`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
        match name.strip_suffix(".gz").unwrap_or(&name).rsplit('.').next().unwrap_or_default() {
            "jsonl" | "ndjson" => self.to_file(path, |file| self.lines(file)),
            "json" => self.to_json(path),
            "csv" | "tsv" => self.to_csv(path),
            other => Err(Error::new(ErrorKind::Name, format!("`{}`: rows are not written as `.{other}`", path.display()))
                .hint("name it .jsonl, .json, .csv or .tsv, with .gz behind it where it should be packed")),
        }
    }

    /// Writes the rows as one JSON list of objects.
    ///
    /// # Errors
    /// [`ErrorKind::File`] when it cannot be written.
    pub fn to_json(&self, path: impl AsRef<Path>) -> Result<()> {
        self.to_file(path.as_ref(), |file| {
            let mut bytes = Vec::new();
            for (row, example) in self.iter().enumerate() {
                bytes.clear();
                bytes.extend_from_slice(if row == 0 { b"[\n" } else { b",\n" });
                jsonl::object(&mut bytes, example);
                file.write_all(&bytes)?;
            }
            file.write_all(if self.is_empty() { b"[]\n" } else { b"\n]\n" })
        })
    }

    /// Writes the rows as CSV with a header; with tabs where the name ends in `.tsv`. A null and a missing field are an empty
    /// cell, an empty text is `""`.
    ///
    /// # Errors
    /// [`ErrorKind::Data`], before anything is written, for what would be read back as something else: a list or an object, a
    /// column of texts that are all numbers, numbers beside texts. [`ErrorKind::File`] when it cannot be written.
    pub fn to_csv(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
        let delimiter = if name.strip_suffix(".gz").unwrap_or(&name).ends_with(".tsv") { '\t' } else { ',' };
        let columns = self.columns();
        columns.iter().try_for_each(|column| self.check_column(column, columns.len()))?;
        if let Some(row) = self.iter().position(|example| example.fields().is_empty()).filter(|_| columns.is_empty()) {
            return Err(cannot("", row, "a row without a field is no line"));
        }
        let names: Vec<String> = columns.iter().map(|column| quoted(column, delimiter)).collect();
        self.to_file(path, |file| {
            writeln!(file, "{}", names.join(&delimiter.to_string()))?;
            for example in self {
                for (at, column) in columns.iter().enumerate() {
                    if at > 0 {
                        write!(file, "{delimiter}")?;
                    }
                    file.write_all(quoted_value(example.value(column).unwrap_or(&Value::Null), delimiter).as_bytes())?;
                }
                file.write_all(b"\n")?;
            }
            Ok(())
        })
    }

    /// Refuses a column that would be read back as something else.
    fn check_column(&self, column: &str, columns: usize) -> Result<()> {
        let unnamed = column.is_empty() || column.starts_with("sep=");
        if unnamed {
            return Err(cannot(column, 0, "its name would be read back as another"));
        }
        let values = || self.iter().enumerate().map(|(row, example)| (row, example.value(column).unwrap_or(&Value::Null)));
        for (row, value) in values() {
            match value {
                Value::Array(_) | Value::Object(_) => {
                    return Err(cannot(column, row, &format!("{} is no cell: {}", kind_of(value), short(value))));
                }
                Value::Null if columns == 1 => return Err(cannot(column, row, "a null in the only column is an empty line")),
                _ => {}
            }
        }
        let kind = values().map(|(_, value)| Kind::of(&plain(value))).fold(Kind::Empty, Kind::join);
        for (row, value) in values() {
            let back = kind.value(&plain(value), value.is_string());
            if back != *value {
                let why = format!("{} would be read back as {}: {}", kind_of(value), kind_of(&back), short(value));
                return Err(cannot(column, row, &why));
            }
        }
        Ok(())
    }

    /// The rows as JSON lines.
    fn lines(&self, file: &mut dyn Write) -> io::Result<()> {
        let mut bytes = Vec::new();
        for example in self {
            bytes.clear();
            jsonl::line(&mut bytes, example);
            file.write_all(&bytes)?;
        }
        Ok(())
    }

    /// Writes a file, packed where its name ends in `.gz`: aside first, so that an older one stays when writing fails.
    fn to_file(&self, path: &Path, write: impl Fn(&mut dyn Write) -> io::Result<()>) -> Result<()> {
        let packed = path.extension().is_some_and(|suffix| suffix.eq_ignore_ascii_case("gz"));
        let make = |aside: &Path| {
            let mut file = BufWriter::with_capacity(1 << 20, File::create_new(aside)?);
            if packed {
                let mut encoder = GzEncoder::new(&mut file, Compression::default());
                write(&mut encoder)?;
                encoder.finish()?;
            } else {
                write(&mut file)?;
            }
            file.flush()?;
            file.get_ref().sync_all()
        };
        replace(path, make).map_err(|error| Error::file(path, error))
    }
}

fn cannot(column: &str, row: usize, why: &str) -> Error {
    Error::new(ErrorKind::Data, format!("column `{column}`, row {row}: CSV cannot hold it: {why}"))
        .hint("write it by `to_jsonl`, which keeps all types, or leave the column out")
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
