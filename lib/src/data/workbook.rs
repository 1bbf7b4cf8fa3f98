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
use crate::util::memory::Growth;
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
        let mut growth = Growth::default();
        loop {
            let cell = cells.next_cell().map_err(|fault| damaged(&path, fault))?;
            let position = cell.as_ref().map(calamine::Cell::get_position);
            if position.is_none_or(|(next, _)| next != line) && !row.is_empty() {
                let place = Place { path: &path, sheet: &name, line };
                match &header {
                    None => header = Some(place.names(std::mem::take(&mut row))?),
                    Some(header) => {
                        let row = place.example(header, std::mem::take(&mut row));
                        // A row has all columns, however few cells the file holds of it.
                        if !growth.add(row.as_ref().map_or(0, Example::bytes)) {
                            let held = format!("{} rows with {} MB", rows.len(), growth.bytes() >> 20);
                            return Err(place
                                .error(format!("{held} were read, and there is little memory left for more"))
                                .hint("save the columns that are needed as CSV, which is read a row at a time"));
                        }
                        rows.push(row);
                    }
                }
            }
            let (Some(cell), Some((next, column))) = (cell, position) else { break };
            if next < line {
                return Err(Place { path: &path, sheet: &name, line: next }
                    .error(format!("it stands behind row {}", line as usize + 1))
                    .hint("open it in a spreadsheet program and save it again: rows stand in order in a whole file"));
            }
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
        let texts = cells.iter().map(|(_, cell)| cell.as_ref().ok().and_then(Value::as_str));
        if header.len() > 1 && texts.eq(header.iter().map(|(_, name)| Some(name.as_str()))) {
            let error = self.error("the names of the columns stand here again".to_string());
            return Err(Bad::row(error.hint("tables that were put below each other keep one row of names: take this row out")));
        }
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
            if !std::mem::replace(&mut fields[field].1, value).is_null() {
                let error = self.error(format!("the cell {} stands twice", letters(column)));
                return Err(Bad::row(error.hint("open it in a spreadsheet program and save it again")));
            }
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
        let is_texts = entry.name().is_ok_and(|name| name.to_lowercase().ends_with(TEXTS));
        let mut texts = Announced::default();
        let size = io::copy(&mut entry.take(left + 1), &mut texts).map_err(|error| damaged(path, error))?;
        // Memory is asked for by this number, and `<si/>` is the shortest text.
        if is_texts && texts.most > size / 5 {
            let what = format!("`{}` announces {} texts in {size} bytes", path.display(), texts.most);
            return Err(Error::new(ErrorKind::Data, what)
                .hint("open it in a spreadsheet program and save it as .xlsx or CSV")
                .in_file(path));
        }
        left = left.checked_sub(size).ok_or_else(|| {
            Error::new(ErrorKind::Data, format!("`{}` unpacks into more than {} MB", path.display(), limits::WORKBOOK.bytes >> 20))
                .hint("save the sheet as CSV, which is read a row at a time")
                .in_file(path)
        })?;
    }
    Ok(())
}

/// The part of a workbook with the texts of its cells.
const TEXTS: &str = "sharedstrings.xml";
/// The attribute that says how many they are.
const COUNT: &[u8] = b"uniqueCount";

/// Bytes of a part → the largest number of texts that it announces.
#[derive(Default)]
struct Announced {
    most: u64,
    /// The end of what came, which may hold the beginning of the attribute.
    end: Vec<u8>,
}

impl io::Write for Announced {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        /// Bytes of the attribute with its value.
        const LONGEST: usize = 128;
        self.end.extend_from_slice(bytes);
        for (at, _) in self.end.windows(COUNT.len()).enumerate().filter(|(_, window)| *window == COUNT) {
            let behind = &self.end[at + COUNT.len()..self.end.len().min(at + LONGEST)];
            let digits = behind.iter().skip_while(|byte| b" =\t\r\n'\"".contains(byte)).take_while(|byte| byte.is_ascii_digit());
            let number = digits.fold(0u64, |number, digit| number.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
            self.most = self.most.max(number);
        }
        self.end.drain(..self.end.len().saturating_sub(LONGEST));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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
    use std::io::Write;

    use super::{Announced, letters};

    #[test]
    fn a_number_of_texts_is_found_wherever_it_stands() {
        let text = format!("<!-- {} --><sst count=\"1\" uniqueCount = '4294967295'>", "x".repeat(100));
        for size in [1, 7, 100, 1000] {
            let mut announced = Announced::default();
            text.as_bytes().chunks(size).for_each(|part| announced.write_all(part).unwrap());
            assert_eq!(announced.most, 4_294_967_295, "{size}");
        }
    }

    #[test]
    fn columns_are_called_as_excel_calls_them() {
        assert_eq!([0, 25, 26, 701, 702].map(letters), ["A", "Z", "AA", "ZZ", "AAA"]);
    }
}
