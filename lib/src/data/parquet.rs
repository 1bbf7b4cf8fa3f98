//! A .parquet file, the format of most data sets on the hub → examples, one row at a time, each value with its type.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;
use parquet::file::reader::FileReader;
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};
use parquet::schema::types::Type;
use serde_json::{Map, Number, Value};

use crate::border::guard::guarded;
use crate::border::pages;
use crate::data::bad::{self, Bad};
use crate::data::example::Example;
use crate::error::{Error, ErrorKind, Result};
use crate::util::interrupt;
use crate::util::names::quoted;

/// The rows of a .parquet file of any codec; a group of rows is read when its first row is asked for.
pub struct ParquetRows {
    path: PathBuf,
    rows: RowIter<'static>,
    row: usize,
}

impl ParquetRows {
    /// Opens a .parquet file.
    ///
    /// # Errors
    /// [`ErrorKind::File`] when it cannot be opened; [`ErrorKind::Data`] when it is no .parquet file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_columns(path.as_ref(), &[])
    }

    /// Opens a .parquet file for these columns alone; without any, for all.
    pub(crate) fn open_columns(path: &Path, columns: &[String]) -> Result<Self> {
        let path = path.to_path_buf();
        let reader = pages::open(&path)?;
        let schema = reader.metadata().file_metadata().schema().clone();
        let mut rows = RowIter::from_file_into(Box::new(reader));
        let names: Vec<String> = schema.get_fields().iter().map(|field| field.name().to_string()).collect();
        if names.iter().collect::<HashSet<_>>().len() < names.len() {
            return Err(Error::new(ErrorKind::Data, format!("`{}` has a column twice: {}", path.display(), quoted(&names)))
                .hint("write the file again with a name of its own for each column")
                .in_file(&path));
        }
        if !columns.is_empty() {
            if let Some(missing) = columns.iter().find(|column| !names.contains(column)) {
                return Err(Error::new(
                    ErrorKind::Data,
                    format!("`{}` has no column `{missing}`; it has {}", path.display(), quoted(&names)),
                )
                .hint("name some of those in `DataOptions::with_columns`")
                .in_file(&path));
            }
            let kept = schema.get_fields().iter().filter(|field| columns.iter().any(|name| name == field.name())).cloned().collect();
            let projection =
                Type::group_type_builder(schema.name()).with_fields(kept).build().map_err(|error| wrong(&path, None, error))?;
            rows = rows.project(Some(projection)).map_err(|error| wrong(&path, None, error))?;
        }
        Ok(Self { rows, path, row: 0 })
    }

    /// The next row, or what is in its place.
    pub(crate) fn row(&mut self) -> Option<bad::Row> {
        if self.row.is_multiple_of(1024)
            && let Err(error) = interrupt::check(format_args!("while reading `{}`", self.path.display()))
        {
            return Some(Err(Bad::end(error)));
        }
        self.row += 1;
        let rows = &mut self.rows;
        let row = match guarded(ErrorKind::Data, format_args!("`{}`, row {}", self.path.display(), self.row), || Ok(rows.next())) {
            Ok(row) => row?,
            Err(fault) => return Some(Err(Bad::end(fault.in_file(&self.path).in_row(self.row)))),
        };
        Some(match row {
            Ok(row) => example(row).map_err(|error| {
                let (path, row) = (&self.path, self.row);
                Bad::row(error.at(format_args!("`{}`, row {row}", path.display())).in_file(path).in_row(row))
            }),
            Err(error) => Err(Bad::end(wrong(&self.path, Some(self.row), error))),
        })
    }
}

impl Iterator for ParquetRows {
    type Item = Result<Example>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.row()?.map_err(|bad| bad.error))
    }
}

impl fmt::Debug for ParquetRows {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ParquetRows").field("path", &self.path).field("row", &self.row).finish_non_exhaustive()
    }
}

fn example(row: Row) -> Result<Example> {
    let fields = row.into_columns().into_iter();
    let fields = fields.map(|(name, field)| value(field).map(|value| (name.clone(), value)).map_err(|error| inside(error, &name)));
    Ok(Example::from_fields(fields.collect::<Result<_>>()?))
}

fn inside(error: Error, name: &str) -> Error {
    error.at(format_args!("column `{name}`"))
}

/// A value with its type: dates, times and decimals are texts, as Python writes them; what no row can hold is refused.
fn value(field: Field) -> Result<Value> {
    let real = |number: f64| {
        Number::from_f64(number).map(Value::Number).ok_or_else(|| {
            Error::new(ErrorKind::Data, format!("{number} is no number that a row can hold")).hint(
                "write null there, leave the row out (`DataOptions::with_on_error`), or choose other columns (`DataOptions::with_columns`)",
            )
        })
    };
    Ok(match field {
        Field::Bytes(bytes) => match String::from_utf8(bytes.data().to_vec()) {
            Ok(text) => Value::String(text),
            Err(_) => {
                return Err(Error::new(ErrorKind::Data, format!("{} bytes that are no text, such as a picture", bytes.len()))
                    .hint("choose the columns that hold rows by `DataOptions::with_columns`"));
            }
        },
        // As short as it is written, not with the digits that its 64 bits would show.
        Field::Float(number) => real(number.to_string().parse().unwrap_or(f64::from(number)))?,
        Field::Float16(number) => real(f64::from(number))?,
        Field::Double(number) => real(number)?,
        Field::Group(row) => {
            let fields = row.into_columns().into_iter();
            let fields = fields.map(|(name, field)| Ok((name.clone(), value(field).map_err(|error| inside(error, &name))?)));
            Value::Object(fields.collect::<Result<Map<_, _>>>()?)
        }
        Field::ListInternal(list) => Value::Array(list.elements().iter().cloned().map(value).collect::<Result<_>>()?),
        Field::MapInternal(map) => {
            let mut object = Map::new();
            for (key, field) in map.entries().iter().cloned() {
                let key = match value(key)? {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                if object.insert(key.clone(), value(field)?).is_some() {
                    return Err(Error::new(ErrorKind::Data, format!("the name `{key}` stands twice in a map")).hint("leave the row out"));
                }
            }
            Value::Object(object)
        }
        // The file does not always say a zone, so the text does not either.
        time @ (Field::TimestampMillis(_) | Field::TimestampMicros(_)) => match time.to_json_value() {
            Value::String(text) => Value::String(text.trim_end_matches(" +00:00").to_string()),
            other => other,
        },
        other => other.to_json_value(),
    })
}

/// `row` counts from 1.
fn wrong(path: &Path, row: Option<usize>, error: ParquetError) -> Error {
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
