//! A sheet of an Excel file (.xlsx) → rows: its first row names the columns, each cell keeps its type.
//!
//! A workbook is a zip archive of XML: before a library reads it, it is unpacked once to see that it is not larger than
//! [`limits::WORKBOOK`].

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use calamine::{DataRef, ExcelDateTime, Reader, Xlsx, XlsxError};
use serde_json::{Number, Value};

use crate::border::guard::guarded;
use crate::border::{file, limits};
use crate::data::bad::{Bad, Row};
use crate::data::example::Example;
use crate::error::{Error, ErrorKind, Result};
use crate::util::names::quoted;
use crate::util::notice;

/// The rows of one sheet.
pub(crate) struct Workbook {
    rows: std::vec::IntoIter<Row>,
}

impl Workbook {
    /// Reads the sheet of this name, else the first.
    ///
    /// # Errors
    /// [`ErrorKind::File`] when the file cannot be opened; [`ErrorKind::Data`] when it is no workbook, has no such sheet, or its
    /// first row does not name the columns.
    pub(crate) fn open(path: &Path, sheet: Option<&str>) -> Result<Self> {
        let rows = guarded(ErrorKind::Data, format_args!("`{}`", path.display()), || Sheet::open(path, sheet)?.rows())?;
        Ok(Self { rows: rows.into_iter() })
    }

    /// The next row, or what is in its place.
    pub(crate) fn row(&mut self) -> Option<Row> {
        self.rows.next()
    }
}

struct Sheet {
    path: PathBuf,
    name: String,
    book: Xlsx<BufReader<File>>,
}

impl Sheet {
    fn open(path: &Path, wanted: Option<&str>) -> Result<Self> {
        unpacks(path)?;
        let book = Xlsx::new(BufReader::new(file::open(path)?)).map_err(|fault| damaged(path, fault))?;
        let names = book.sheet_names();
        let name = match wanted {
            Some(wanted) => names.iter().find(|name| *name == wanted).cloned(),
            None => names.first().cloned(),
        };
        let Some(name) = name else {
            let what = format!("`{}` has no sheet `{}`; it has {}", path.display(), wanted.unwrap_or_default(), quoted(&names));
            return Err(Error::new(ErrorKind::Data, what).hint("name one of those in `DataOptions::with_field`").in_file(path));
        };
        if wanted.is_none() && names.len() > 1 {
            notice::warn(format_args!(
                "`{}`: the sheet `{name}` is read, of {}; `DataOptions::with_field` names another",
                path.display(),
                quoted(&names)
            ));
        }
        Ok(Self { path: path.to_path_buf(), name, book })
    }

    /// All rows; blank ones are skipped.
    fn rows(mut self) -> Result<Vec<Row>> {
        let (path, name) = (self.path.clone(), self.name.clone());
        let mut cells = self.book.worksheet_cells_reader(&name).map_err(|fault| damaged(&path, fault))?;
        let (mut header, mut rows): (Option<Vec<(u32, String)>>, _) = (None, Vec::new());
        let (mut line, mut row): (u32, Vec<(u32, Result<Value>)>) = (0, Vec::new());
        loop {
            let cell = cells.next_cell().map_err(|fault| damaged(&path, fault))?;
            let position = cell.as_ref().map(calamine::Cell::get_position);
            if position.is_none_or(|(next, _)| next != line) && !row.is_empty() {
                let place = Place { path: &path, sheet: &name, line };
                match &header {
                    None => header = Some(place.names(std::mem::take(&mut row))?),
                    Some(header) => rows.push(place.example(header, std::mem::take(&mut row))),
                }
            }
            let (Some(cell), Some((next, column))) = (cell, position) else { break };
            line = next;
            if !matches!(cell.get_value(), DataRef::Empty) {
                row.push((column, value(cell.get_value())));
            }
            if row.len() > limits::FIELDS {
                return Err(Error::new(ErrorKind::Data, format!("`{}`: a row has more than {} cells", path.display(), limits::FIELDS))
                    .hint("save the cells that are needed as a sheet of their own")
                    .in_file(&path));
            }
        }
        Ok(rows)
    }
}

/// Where a row stands; `line` counts from 0.
struct Place<'a> {
    path: &'a Path,
    sheet: &'a str,
    line: u32,
}

impl Place<'_> {
    fn error(&self, what: String) -> Error {
        let line = self.line as usize + 1;
        Error::new(ErrorKind::Data, what)
            .at(format_args!("{}, sheet `{}`, row {line}", self.path.display(), self.sheet))
            .in_file(self.path)
            .in_row(line)
    }

    /// The names of the columns.
    fn names(&self, cells: Vec<(u32, Result<Value>)>) -> Result<Vec<(u32, String)>> {
        let (mut names, mut seen) = (Vec::with_capacity(cells.len()), HashSet::new());
        for (column, cell) in cells {
            let Ok(Value::String(name)) = cell else {
                return Err(self
                    .error(format!("the cell {} is no text, but the first row names the columns", letters(column)))
                    .hint("put a row of names on top, such as question and answer"));
            };
            if !seen.insert(name.clone()) {
                return Err(self.error(format!("two columns are called `{name}`")).hint("give each column a name of its own"));
            }
            names.push((column, name));
        }
        names.sort_unstable_by_key(|(column, _)| *column);
        Ok(names)
    }

    /// A row with all columns; a cell that is empty is null.
    fn example(&self, header: &[(u32, String)], cells: Vec<(u32, Result<Value>)>) -> Row {
        let mut fields: Vec<(String, Value)> = header.iter().map(|(_, name)| (name.clone(), Value::Null)).collect();
        for (column, cell) in cells {
            let place = |error: Error| {
                let bad = self.error(format!("cell {}: {error}", letters(column))).because(error);
                Bad::row(bad.hint("mend the formula, or empty the cell; `OnError::Skip` leaves the row out"))
            };
            let value = cell.map_err(place)?;
            let Ok(field) = header.binary_search_by_key(&column, |(named, _)| *named) else {
                let what = format!("the cell {} stands in a column without a name", letters(column));
                return Err(Bad::row(self.error(what).hint("name the column in the first row, or empty the cell")));
            };
            fields[field].1 = value;
        }
        Ok(Example::from_fields(fields))
    }
}

/// A cell's value; Excel has one kind of number, of which the whole ones are integers.
fn value(cell: &DataRef<'_>) -> Result<Value> {
    let bad = |what: String| Error::new(ErrorKind::Data, what);
    Ok(match cell {
        DataRef::Int(number) => Value::from(*number),
        DataRef::Float(number) if number.fract() == 0.0 && number.abs() < 9e15 => Value::from(*number as i64),
        DataRef::Float(number) => Value::Number(Number::from_f64(*number).ok_or_else(|| bad(format!("{number} is no number")))?),
        DataRef::String(text) => Value::from(text.as_str()),
        DataRef::SharedString(text) => Value::from(*text),
        DataRef::Bool(truth) => Value::Bool(*truth),
        DataRef::DateTime(date) => Value::String(moment(date)),
        DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => Value::from(text.as_str()),
        DataRef::Error(error) => return Err(bad(format!("its formula gives {error}"))),
        DataRef::Empty => Value::Null,
    })
}

/// A date, or date and time, as ISO 8601 writes it; a duration in days.
fn moment(date: &ExcelDateTime) -> String {
    if date.is_duration() {
        return date.as_f64().to_string();
    }
    let (year, month, day, hour, minute, second, milli) = date.to_ymd_hms_milli();
    match (hour, minute, second, milli) {
        (0, 0, 0, 0) => format!("{year:04}-{month:02}-{day:02}"),
        (.., 0) => format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"),
        _ => format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}"),
    }
}

/// A column as Excel calls it.
fn letters(column: u32) -> String {
    let (mut left, mut name) = (column + 1, String::new());
    while left > 0 {
        name.insert(0, char::from(b'A' + ((left - 1) % 26) as u8));
        left = (left - 1) / 26;
    }
    name
}

/// Whether all parts of the archive unpack into no more than the limit.
fn unpacks(path: &Path) -> Result<()> {
    let wrong = |error: zip::result::ZipError| {
        Error::new(ErrorKind::Data, format!("`{}` is no workbook of Excel: {error}", path.display()))
            .hint("open it in a spreadsheet program and save it as .xlsx or CSV")
            .in_file(path)
            .because(error)
    };
    let mut archive = zip::ZipArchive::new(BufReader::new(file::open(path)?)).map_err(wrong)?;
    let mut left = limits::WORKBOOK.bytes;
    for part in 0..archive.len() {
        let entry = archive.by_index(part).map_err(wrong)?;
        let size = io::copy(&mut entry.take(left + 1), &mut io::sink()).map_err(|error| damaged(path, error))?;
        left = left.checked_sub(size).ok_or_else(|| {
            Error::new(ErrorKind::Data, format!("`{}` unpacks into more than {} MB", path.display(), limits::WORKBOOK.bytes >> 20))
                .hint("save the sheet as CSV, which is read a row at a time")
                .in_file(path)
        })?;
    }
    Ok(())
}

fn damaged(path: &Path, fault: impl Into<XlsxError>) -> Error {
    let fault = fault.into();
    Error::new(ErrorKind::Data, format!("`{}` cannot be read as a workbook of Excel: {fault}", path.display()))
        .hint("open it in a spreadsheet program and save it as .xlsx or CSV")
        .in_file(path)
        .because(fault)
}

#[cfg(test)]
mod tests {
    use super::letters;

    #[test]
    fn columns_are_called_as_excel_calls_them() {
        assert_eq!([0, 25, 26, 701, 702].map(letters), ["A", "Z", "AA", "ZZ", "AAA"]);
    }
}
