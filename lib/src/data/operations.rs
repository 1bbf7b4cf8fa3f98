//! A data set → another one: rows made, kept, ordered, columns named; under the names of Python's `datasets`.
//!
//! Every operation leaves the data set that it is asked of as it was.

use std::cmp::Ordering;
use std::collections::HashSet;

use serde_json::{Number, Value};

use crate::data::dataset::Dataset;
use crate::data::example::{Example, kind_of};
use crate::error::{Error, ErrorKind, Result};
use crate::util::names::quoted;
use crate::util::rng::permutation;

impl Dataset {
    /// Every row through `function`: the row becomes what it returns. To keep the other columns, clone the row and set one.
    ///
    /// ```
    /// use finetuning::*;
    /// let data = Dataset::from_examples(vec![Example::new([("question", "Why?"), ("answer", "So.")])]);
    /// let longer = data.map(|row| {
    ///     let mut row = row.clone();
    ///     row.set("length", row.field("answer")?.len());
    ///     Ok(row)
    /// })?;
    /// assert_eq!(longer.column("length")?, ["3"]);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// The first of `function`, with the row's number.
    pub fn map(&self, mut function: impl FnMut(&Example) -> Result<Example>) -> Result<Self> {
        let made = self
            .iter()
            .enumerate()
            .map(|(row, example)| function(example).map_err(|error| error.at(format_args!("row {row}")).in_row(row)));
        Ok(Self::from_examples(made.collect::<Result<_>>()?))
    }

    /// The rows of which `keep` is true.
    pub fn filter(&self, mut keep: impl FnMut(&Example) -> bool) -> Self {
        Self::from_examples(self.iter().filter(|example| keep(example)).cloned().collect())
    }

    /// The rows whose field contains `text`; rows without the field are left out.
    pub fn containing(&self, column: &str, text: &str) -> Self {
        self.filter(|example| example.get(column).is_some_and(|field| field.contains(text)))
    }

    /// The first `n` rows, or all where there are fewer.
    pub fn take(&self, n: usize) -> Self {
        self.head(n)
    }

    /// The rows after the first `n`.
    pub fn skip(&self, n: usize) -> Self {
        Self::from_examples(self.iter().skip(n).cloned().collect())
    }

    /// The rows in the order of NumPy's `default_rng(seed).permutation`, as `datasets` shuffles.
    pub fn shuffle(&self, seed: u64) -> Self {
        let rows: Vec<&Example> = self.iter().collect();
        Self::from_examples(permutation(self.len(), seed).into_iter().map(|index| rows[index].clone()).collect())
    }

    /// The rows by the values of a column, the smallest first, or the largest with `reverse`: numbers by size, texts by their
    /// letters' code points, false before true. Rows without a value come last either way; equal ones keep their order.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when no row has the column, a value is a list or an object, or values are of several types.
    pub fn sort(&self, column: &str, reverse: bool) -> Result<Self> {
        self.sort_by_columns(&[(column, reverse)])
    }

    /// [`Dataset::sort`] by several columns, each with its own `reverse`: rows that are equal in the first are in the order of the
    /// second. `sort(["a", "b"], reverse=[False, True])` of `datasets` is `sort_by_columns(&[("a", false), ("b", true)])`.
    ///
    /// # Errors
    /// As [`Dataset::sort`], and when no column is named, or one twice.
    pub fn sort_by_columns(&self, columns: &[(&str, bool)]) -> Result<Self> {
        if columns.is_empty() {
            return Err(Error::new(ErrorKind::Data, "no column is named to sort by").hint("name at least one: `&[(\"question\", false)]`"));
        }
        for (at, (column, _)) in columns.iter().enumerate() {
            if columns[..at].iter().any(|(before, _)| before == column) {
                return Err(Error::new(ErrorKind::Data, format!("column `{column}` is named twice")).hint("name each column once"));
            }
            self.check_order(column)?;
        }
        let mut rows: Vec<&Example> = self.iter().collect();
        let by = |one: &Example, other: &Example, (column, reverse): &(&str, bool)| match (present(one, column), present(other, column)) {
            (Some(one), Some(other)) if *reverse => compare(other, one),
            (Some(one), Some(other)) => compare(one, other),
            (one, other) => one.is_none().cmp(&other.is_none()),
        };
        rows.sort_by(|one, other| {
            columns.iter().map(|column| by(one, other, column)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        });
        Ok(Self::from_examples(rows.into_iter().cloned().collect()))
    }

    /// Refuses a column whose values have no order.
    fn check_order(&self, column: &str) -> Result<()> {
        self.known(column)?;
        let mut values = self.iter().enumerate().filter_map(|(row, example)| Some((row, present(example, column)?))).peekable();
        let Some(first) = values.peek().map(|(_, value)| kind_of(value)) else { return Ok(()) };
        match values.find(|(_, value)| kind_of(value) != first || value.is_array() || value.is_object()) {
            None => Ok(()),
            Some((row, value)) => {
                let message = format!("column `{column}` has {} in row {row} and {first} before; that has no order", kind_of(value));
                Err(Error::new(ErrorKind::Data, message).in_row(row).hint("make one type of the column first (`map`)"))
            }
        }
    }

    /// The values of a column, each once, in the order in which they first appear; null where a row has none.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when no row has the column.
    pub fn unique(&self, column: &str) -> Result<Vec<Value>> {
        self.known(column)?;
        let mut seen = HashSet::new();
        let values = self.iter().map(|example| example.value(column).unwrap_or(&Value::Null));
        Ok(values.filter(|value| seen.insert(*value)).cloned().collect())
    }

    /// The same rows with a column of another name.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when no row has the column, or there is one of the new name already: nothing is dropped in silence.
    pub fn rename_column(&self, from: &str, to: &str) -> Result<Self> {
        self.known(from)?;
        self.free(to, "remove that column first (`remove_columns`), or choose another name")?;
        let renamed = |(name, value): &(String, Value)| (if name == from { to.to_string() } else { name.clone() }, value.clone());
        Ok(Self::from_examples(self.iter().map(|example| Example::new(example.fields().iter().map(renamed))).collect()))
    }

    /// The rows without these columns.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when no row has one of them.
    pub fn remove_columns(&self, names: &[&str]) -> Result<Self> {
        names.iter().try_for_each(|name| self.known(name))?;
        let keep = |(name, _): &&(String, Value)| !names.contains(&name.as_str());
        Ok(Self::from_examples(self.iter().map(|example| Example::new(example.fields().iter().filter(keep).cloned())).collect()))
    }

    /// The rows with these columns only, in this order.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when no row has one of them.
    pub fn select_columns(&self, names: &[&str]) -> Result<Self> {
        names.iter().try_for_each(|name| self.known(name))?;
        let chosen = |example: &Example| Example::new(names.iter().filter_map(|name| Some((*name, example.value(name)?.clone()))));
        Ok(Self::from_examples(self.iter().map(chosen).collect()))
    }

    /// The rows with one more column, at the end.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when there is a column of this name, or not one value for each row.
    pub fn add_column(&self, name: &str, values: impl IntoIterator<Item = impl Into<Value>>) -> Result<Self> {
        self.free(name, "choose another name, or change the column with `map`")?;
        let values: Vec<Value> = values.into_iter().map(Into::into).collect();
        if values.len() != self.len() {
            let message = format!("column `{name}` has {} values, the data set has {} rows", values.len(), self.len());
            return Err(Error::new(ErrorKind::Data, message).hint("give one value for each row, in order; null where there is none"));
        }
        let longer = |(example, value): (&Example, Value)| {
            let mut example = example.clone();
            example.set(name, value);
            example
        };
        Ok(Self::from_examples(self.iter().zip(values).map(longer).collect()))
    }

    /// The rows with one more, at the end.
    pub fn add_item(&self, row: Example) -> Self {
        Self::from_examples(self.iter().cloned().chain([row]).collect())
    }

    /// Refuses a column that no row has.
    fn known(&self, name: &str) -> Result<()> {
        match self.iter().any(|example| example.value(name).is_some()) {
            true => Ok(()),
            false => Err(self.no_column(name)),
        }
    }

    /// Refuses a name for a column that is empty or taken.
    fn free(&self, name: &str, hint: &str) -> Result<()> {
        if name.is_empty() {
            return Err(Error::new(ErrorKind::Data, "a column has no name").hint("give it one"));
        }
        if let Some(row) = self.iter().position(|example| example.value(name).is_some()) {
            let message = format!("column `{name}` is there already, in row {row}; the data set has {}", quoted(&self.columns()));
            return Err(Error::new(ErrorKind::Data, message).hint(hint));
        }
        Ok(())
    }
}

/// A value that is no null.
fn present<'a>(example: &'a Example, column: &str) -> Option<&'a Value> {
    example.value(column).filter(|value| !value.is_null())
}

/// The order of two values of one type.
fn compare(one: &Value, other: &Value) -> Ordering {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => by_size(one, other),
        (Value::String(one), Value::String(other)) => one.cmp(other),
        (Value::Bool(one), Value::Bool(other)) => one.cmp(other),
        _ => Ordering::Equal,
    }
}

/// Whole numbers exactly, beyond what a float can tell apart.
fn by_size(one: &Number, other: &Number) -> Ordering {
    let whole = |number: &Number| number.as_i64().map(i128::from).or(number.as_u64().map(i128::from));
    match (whole(one), whole(other)) {
        (Some(one), Some(other)) => one.cmp(&other),
        _ => one.as_f64().unwrap_or_default().total_cmp(&other.as_f64().unwrap_or_default()),
    }
}
