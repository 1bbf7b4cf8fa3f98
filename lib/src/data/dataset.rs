//! Examples with the same columns: a table that a lesson can look at, filter and split.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::path::Path;

use serde_json::Value;

use crate::data::example::{Example, cell};
use crate::data::split::split_indices;
use crate::data::stream::ExampleStream;
use crate::display::output::{Html, Show, last_expression, preview};
use crate::error::{Error, ErrorKind, Result};
use crate::util::memory::Growth;
use crate::util::names::quoted;

/// Rows with named fields, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dataset {
    examples: Vec<Example>,
}

impl Dataset {
    /// A data set of these rows.
    pub fn from_examples(examples: Vec<Example>) -> Self {
        Self { examples }
    }

    /// Reads a .jsonl file; a bad line is an error that names `file:line`, an empty file is an error.
    ///
    /// # Errors
    /// [`ErrorKind::File`] when it cannot be opened; [`ErrorKind::Data`] for a bad line and a file without rows.
    pub fn from_jsonl(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::from_stream(ExampleStream::open(path)?, &path.display().to_string())
    }

    /// Reads a stream to its end; no row at all is an error that says `name`.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] for a bad row and a stream without rows.
    pub fn from_stream(stream: ExampleStream, name: &str) -> Result<Self> {
        let examples = whole(stream, name)?;
        if examples.is_empty() {
            return Err(Error::new(ErrorKind::Data, format!("`{name}` has no rows"))
                .hint("write one JSON object a line, for example {\"question\": \"…\", \"answer\": \"…\"}"));
        }
        Ok(Self { examples })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.examples.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.examples.is_empty()
    }

    /// The row at `index`, counted from 0.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when there are fewer rows.
    pub fn get(&self, index: usize) -> Result<&Example> {
        self.examples.get(index).ok_or_else(|| {
            Error::new(ErrorKind::Data, format!("row {index} does not exist; the data set has {} rows, counted from 0", self.len()))
                .hint("choose a smaller index")
        })
    }

    /// The rows in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Example> {
        self.examples.iter()
    }

    /// The first `n` rows.
    pub fn head(&self, n: usize) -> Self {
        Self { examples: self.examples.iter().take(n).cloned().collect() }
    }

    /// The rows at these indices, in that order.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when there are fewer rows.
    pub fn select(&self, indices: &[usize]) -> Result<Self> {
        let examples = indices.iter().map(|&index| self.get(index).cloned()).collect::<Result<_>>()?;
        Ok(Self { examples })
    }

    /// The names of all columns, in the order in which they first appear.
    pub fn columns(&self) -> Vec<String> {
        let (mut names, mut known): (Vec<&String>, HashSet<&String>) = (Vec::new(), HashSet::new());
        for example in &self.examples {
            // Most rows have the columns of the row before, in the same order.
            if !example.fields().iter().map(|(name, _)| name).eq(names.iter().copied()) {
                names.extend(example.fields().iter().map(|(name, _)| name).filter(|name| known.insert(name)));
            }
        }
        names.into_iter().cloned().collect()
    }

    /// All texts of a column, numbers as Python prints them; the error names the columns that exist.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when a row has no such field, or it is a null, a list or an object.
    pub fn column(&self, name: &str) -> Result<Vec<String>> {
        let texts = self.examples.iter().enumerate().map(|(row, example)| {
            if example.value(name).is_none() {
                let message = format!("column `{name}` is missing in row {row}; the data set has {}", quoted(&self.columns()));
                return Err(Error::new(ErrorKind::Data, message).hint("name one of those columns").in_row(row));
            }
            example.text(name).map(Cow::into_owned).map_err(|error| error.at(format_args!("row {row}")).in_row(row))
        });
        texts.collect()
    }

    /// The values of each column, row by row; null where a row has none.
    pub(crate) fn by_columns(&self, names: &[String]) -> Vec<Vec<&Value>> {
        let mut columns = vec![Vec::with_capacity(self.len()); names.len()];
        for example in self {
            let values = example.values(names).into_iter().map(|value| value.unwrap_or(&Value::Null));
            columns.iter_mut().zip(values).for_each(|(column, value)| column.push(value));
        }
        columns
    }

    /// The error for a column that no row has.
    pub(crate) fn no_column(&self, name: &str) -> Error {
        Error::new(ErrorKind::Data, format!("column `{name}` does not exist; the data set has {}", quoted(&self.columns())))
            .hint("name one of those columns; their names count to the letter")
    }

    /// (train, test): `test_size` of the rows for the test, shuffled as NumPy's `default_rng(seed)` does.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when one side would have no row.
    pub fn train_test_split(&self, test_size: f64, seed: u64) -> Result<(Self, Self)> {
        check_test_size(test_size, self.len())?;
        let (train, test) = split_indices(self.len(), test_size, seed);
        Ok((self.select(&train)?, self.select(&test)?))
    }
}

/// All rows of a stream, as long as there is memory for them: a small packed file may hold any number.
///
/// # Errors
/// [`ErrorKind::Data`] for a bad row, and when little memory is left.
pub(crate) fn whole(stream: ExampleStream, name: &str) -> Result<Vec<Example>> {
    let (mut rows, mut growth) = (Vec::new(), Growth::default());
    for row in stream {
        let row = row?;
        if !growth.add(row.bytes()) {
            let held = format!("{} rows with {} MB", rows.len(), growth.bytes() >> 20);
            return Err(Error::new(ErrorKind::Data, format!("`{name}`: {held} were read, and there is little memory left for more"))
                .hint("read it row by row by `stream_dataset`, or a part of it: `DataOptions::new().with_limit(10_000)`"));
        }
        rows.push(row);
    }
    Ok(rows)
}

/// Refuses a split that would leave one side empty.
pub(crate) fn check_test_size(test_size: f64, rows: usize) -> Result<()> {
    let test = (test_size * rows as f64).ceil() as usize;
    if test_size > 0.0 && test_size < 1.0 && test < rows {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Data,
        format!("test_size {test_size} of {rows} rows leaves no row for one side; it must lie between 0 and 1"),
    )
    .hint("use 0.1 and a data set of at least 2 rows"))
}

impl Dataset {
    /// The first rows as a table.
    fn table(&self) -> Html {
        let names = self.columns();
        preview(&names, self.len(), |row| {
            self.examples[row].values(&names).into_iter().map(|value| value.map_or("null".into(), cell)).collect()
        })
    }
}

impl Show for Dataset {
    fn text(&self) -> String {
        self.table().text
    }

    fn rich(&self) -> Vec<(&'static str, serde_json::Value)> {
        self.table().rich()
    }
}

last_expression!(Dataset);

impl IntoIterator for Dataset {
    type Item = Example;
    type IntoIter = std::vec::IntoIter<Example>;

    fn into_iter(self) -> Self::IntoIter {
        self.examples.into_iter()
    }
}

impl<'a> IntoIterator for &'a Dataset {
    type Item = &'a Example;
    type IntoIter = std::slice::Iter<'a, Example>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Dataset {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Dataset {{ columns: [{}], rows: {} }}", self.columns().join(", "), self.len())
    }
}
