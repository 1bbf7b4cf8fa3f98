//! A .csv or .tsv file → examples, each column of one type, which the whole file decides.
//!
//! A column is a whole number, a number, or true and false when each of its cells is written so; otherwise it is text. Leading
//! zeros (`007`), a leading `+`, spaces, more digits than 64 bits hold: text, digit for digit. An empty cell is null, a quoted
//! empty cell of a text column the empty text. `NA`, `null` and their like are texts.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde_json::{Number, Value};

use crate::data::bad::{Bad, Row};
use crate::data::example::{Example, as_text};
use crate::data::format::Format;
use crate::data::input::Input;
use crate::data::records::{Record, Records};
use crate::error::{Error, ErrorKind, Result};
use crate::util::names::quoted;
use crate::util::{interrupt, notice};

/// Whole numbers up to here are exact as numbers with a point.
const EXACT: u64 = 1 << 53;
/// More digits than a number with a point can keep.
const DIGITS: usize = 17;

/// What all cells of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Empty,
    Bool,
    Int,
    /// Whole, and not exact as a number with a point.
    BigInt,
    Float,
    Text,
}

impl Kind {
    /// Of one cell.
    pub(crate) fn of(cell: &str) -> Self {
        let digits = cell.strip_prefix('-').unwrap_or(cell);
        match cell {
            "" => return Kind::Empty,
            "true" | "false" | "True" | "False" | "TRUE" | "FALSE" => return Kind::Bool,
            _ if !digits.starts_with(|c: char| c.is_ascii_digit()) => return Kind::Text,
            _ => {}
        }
        let whole = digits.bytes().take_while(u8::is_ascii_digit).count();
        if whole > 1 && digits.starts_with('0') {
            return Kind::Text;
        }
        if whole == digits.len() {
            return match (cell.parse::<i64>(), cell.parse::<u64>()) {
                _ if cell == "-0" => Kind::Text,
                (Ok(number), _) if number.unsigned_abs() <= EXACT => Kind::Int,
                (Err(_), Err(_)) => Kind::Text,
                _ => Kind::BigInt,
            };
        }
        let (mantissa, exponent) = digits.split_once(['e', 'E']).unwrap_or((digits, "0"));
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let point = mantissa.split_once('.').is_none_or(|(_, behind)| !behind.is_empty());
        let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let significant = mantissa.replace('.', "").trim_start_matches('0').len();
        let fits = point && number(&mantissa.replacen('.', "", 1)) && number(exponent) && significant <= DIGITS;
        if fits && cell.parse::<f64>().is_ok_and(f64::is_finite) { Kind::Float } else { Kind::Text }
    }

    /// Of two cells of a column.
    pub(crate) fn join(self, other: Self) -> Self {
        match (self, other) {
            (a, b) if a == b => a,
            (Kind::Empty, other) | (other, Kind::Empty) => other,
            (Kind::Int, Kind::BigInt) | (Kind::BigInt, Kind::Int) => Kind::BigInt,
            (Kind::Int, Kind::Float) | (Kind::Float, Kind::Int) => Kind::Float,
            _ => Kind::Text,
        }
    }

    /// The value of a cell in a column of this kind.
    pub(crate) fn value(self, cell: &str, quoted: bool) -> Value {
        let text = || Value::String(cell.to_string());
        match self {
            Kind::Text if cell.is_empty() && quoted => text(),
            _ if cell.is_empty() => Value::Null,
            Kind::Bool if Kind::of(cell) == Kind::Bool => Value::Bool(cell.eq_ignore_ascii_case("true")),
            Kind::Int | Kind::BigInt => match (cell.parse::<i64>(), cell.parse::<u64>()) {
                (Ok(number), _) => number.into(),
                (_, Ok(number)) => number.into(),
                _ => text(),
            },
            Kind::Float => cell.parse().ok().and_then(Number::from_f64).map_or_else(text, Value::Number),
            Kind::Bool | Kind::Text | Kind::Empty => text(),
        }
    }
}

/// The rows of a .csv or .tsv file.
pub(crate) struct DelimitedRows {
    path: PathBuf,
    records: Records,
    record: Record,
    columns: Vec<(String, Kind)>,
}

impl DelimitedRows {
    /// Opens a file and reads it once for the types of its columns, unless all are to stay texts.
    pub(crate) fn open(input: Input, infer: bool) -> Result<Self> {
        let (path, format) = (input.path.clone(), input.format);
        let (mut records, names) = header(input)?;
        let mut kinds = vec![Kind::Text; names.len()];
        if infer {
            kinds = vec![Kind::Empty; names.len()];
            let mut written: Vec<Written> = vec![Written::default(); names.len()];
            let mut record = Record::default();
            for row in 0_usize.. {
                if row % 10_000 == 0 {
                    interrupt::check(format_args!("while reading `{}`", path.display()))?;
                }
                match records.record(&mut record) {
                    Ok(false) => break,
                    Err(bad) if !bad.goes_on => break,
                    // A bad row is no witness; it is an error when its turn comes.
                    Err(_) => {}
                    Ok(true)
                        if record.len() != names.len()
                            || is_header(record.cells().map(|(cell, _)| cell), names.iter().map(String::as_str)) => {}
                    Ok(true) => {
                        let columns = kinds.iter_mut().zip(&mut written).zip(record.cells());
                        for ((kind, written), (cell, _)) in columns.filter(|((kind, _), _)| **kind != Kind::Text) {
                            let own = Kind::of(cell);
                            *kind = kind.join(own);
                            written.note(own, cell);
                        }
                    }
                }
            }
            say_altered(&path, &names, &kinds, &written);
            records = header_quietly(Input::again(&path, format)?)?.0;
        }
        Ok(Self { path, records, record: Record::default(), columns: names.into_iter().zip(kinds).collect() })
    }

    /// The next row, or what is in its place.
    pub(crate) fn row(&mut self) -> Option<Row> {
        match self.records.record(&mut self.record) {
            Ok(false) => return None,
            Ok(true) => {}
            Err(bad) => return Some(Err(bad)),
        }
        if self.record.len() != self.columns.len() {
            let (line, found, wanted) = (self.record.line, self.record.len(), self.columns.len());
            let message = format!("{}:{line}: the row has {found} cells, the header {wanted}", self.path.display());
            return Some(Err(Bad::row(
                Error::new(ErrorKind::Data, message)
                    .hint("a cell that holds the delimiter or a line's end stands in double quotes; correct that line")
                    .in_file(&self.path)
                    .in_row(line),
            )));
        }
        if is_header(self.record.cells().map(|(cell, _)| cell), self.columns.iter().map(|(name, _)| name.as_str())) {
            let line = self.record.line;
            return Some(Err(Bad::row(
                Error::new(ErrorKind::Data, format!("{}:{line}: the header stands here again", self.path.display()))
                    .hint("files that were put behind each other keep one header: take this line out")
                    .in_file(&self.path)
                    .in_row(line),
            )));
        }
        let cells = self.record.cells().zip(&self.columns);
        Some(Ok(Example::from_fields(cells.map(|((cell, quoted), (name, kind))| (name.clone(), kind.value(cell, quoted))).collect())))
    }
}

/// Whether a row is the header once more, as of a file that was put behind another; of one column it could be a word.
pub(crate) fn is_header<'a>(cells: impl Iterator<Item = &'a str>, names: impl ExactSizeIterator<Item = &'a str>) -> bool {
    let mark = |(at, cell): (usize, &'a str)| if at == 0 { cell.trim_start_matches('\u{feff}') } else { cell };
    names.len() > 1 && cells.enumerate().map(mark).eq(names)
}

/// The first cells of a column that are written otherwise than their value is as a text.
#[derive(Debug, Clone, Default)]
struct Written {
    /// In a column of numbers with a point.
    float: Option<String>,
    /// In a column of truth values.
    truth: Option<String>,
}

impl Written {
    fn note(&mut self, kind: Kind, cell: &str) {
        let differs = |kind: Kind| as_text(&kind.value(cell, false)).is_some_and(|text| text != cell);
        match kind {
            Kind::Int | Kind::Float if self.float.is_none() => self.float = differs(Kind::Float).then(|| cell.to_string()),
            Kind::Bool if self.truth.is_none() => self.truth = differs(Kind::Bool).then(|| cell.to_string()),
            _ => {}
        }
    }
}

/// Says which columns lose how they are written, with an example of each: a model that learns them learns `1.5` for `1.50`.
fn say_altered(path: &Path, names: &[String], kinds: &[Kind], written: &[Written]) {
    let altered = names.iter().zip(kinds).zip(written).filter_map(|((name, kind), written)| {
        let (cell, kind) = match kind {
            Kind::Float => (written.float.as_ref()?, Kind::Float),
            Kind::Bool => (written.truth.as_ref()?, Kind::Bool),
            _ => return None,
        };
        Some(format!("`{cell}` of the column `{name}` is {}", as_text(&kind.value(cell, false))?))
    });
    let altered: Vec<String> = altered.collect();
    if !altered.is_empty() {
        let more = if altered.len() > 3 { format!(", and {} columns more", altered.len() - 3) } else { String::new() };
        notice::warn(format_args!(
            "`{}`: numbers and truth values lose how they are written: {}{more}; `DataOptions::with_infer_types(false)` keeps all as texts",
            path.display(),
            altered[..altered.len().min(3)].join(", ")
        ));
    }
}

/// The names of the columns, and the records behind them; a delimiter that was guessed is said.
fn header(input: Input) -> Result<(Records, Vec<String>)> {
    let (path, comma) = (input.path.clone(), input.format != Format::Tsv);
    let (records, names, (delimiter, said)) = split_header(input)?;
    if comma && delimiter != b',' && !said {
        notice::warn(format_args!(
            "`{}`: its cells are taken to end with {:?}, since its header has no comma",
            path.display(),
            char::from(delimiter)
        ));
    }
    Ok((records, names))
}

fn header_quietly(input: Input) -> Result<(Records, Vec<String>)> {
    split_header(input).map(|(records, names, _)| (records, names))
}

fn split_header(input: Input) -> Result<(Records, Vec<String>, (u8, bool))> {
    let plain = |bad: Box<Bad>| bad.error;
    let mut records = Records::new(&input.path, input.reader, if input.format == Format::Tsv { b'\t' } else { b',' });
    let sniffed = records.sniff().map_err(plain)?;
    let mut record = Record::default();
    records.record(&mut record).map_err(plain)?;
    // As pandas names the column of an index.
    let names: Vec<String> = record
        .cells()
        .enumerate()
        .map(|(at, (name, _))| if name.is_empty() { format!("Unnamed: {at}") } else { name.to_string() })
        .collect();
    check_names(&input.path, &names)?;
    Ok((records, names, sniffed))
}

fn check_names(path: &Path, names: &[String]) -> Result<()> {
    let mut seen = HashSet::new();
    let twice: Vec<String> = names.iter().filter(|name| !seen.insert(*name)).cloned().collect();
    if twice.is_empty() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Data, format!("{}:1: these columns stand twice in the header: {}", path.display(), quoted(&twice)))
        .hint("the first line names the columns; give each a name of its own")
        .in_file(path)
        .in_row(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_a_number_when_nothing_is_lost() {
        for (cell, kind) in [
            ("", Kind::Empty),
            ("1", Kind::Int),
            ("-12", Kind::Int),
            ("0", Kind::Int),
            ("007", Kind::Text),
            ("+49 171", Kind::Text),
            ("+1", Kind::Text),
            ("18446744073709551615", Kind::BigInt),
            ("18446744073709551616", Kind::Text),
            ("1.5", Kind::Float),
            ("1.", Kind::Text),
            (".5", Kind::Text),
            ("1e5", Kind::Float),
            ("1e", Kind::Text),
            ("1.2.3", Kind::Text),
            ("0.12345678901234567890", Kind::Text),
            ("01.5", Kind::Text),
            ("nan", Kind::Text),
            ("NA", Kind::Text),
            ("True", Kind::Bool),
            ("true ", Kind::Text),
            ("1,5", Kind::Text),
            ("2024-01-01", Kind::Text),
            ("-", Kind::Text),
            ("-0", Kind::Text),
            ("1e999", Kind::Text),
        ] {
            assert_eq!(Kind::of(cell), kind, "{cell}");
        }
        assert_eq!(Kind::Int.join(Kind::Float), Kind::Float);
        assert_eq!(Kind::BigInt.join(Kind::Float), Kind::Text);
        assert_eq!(Kind::Bool.join(Kind::Int), Kind::Text);
        assert_eq!(Kind::Empty.join(Kind::Bool), Kind::Bool);
    }
}
