//! Rows ↔ a polars table, and how a table is shown.

use polars::prelude::{AnyValue, DataFrame, IntoColumn, Series};
use serde_json::Value;

use crate::data::dataset::Dataset;
use crate::data::example::Example;
use crate::display::output::{Html, Show, preview};
use crate::error::{Error, ErrorKind, Result};

impl Dataset {
    /// The rows of a polars table: texts, numbers, truth values, lists and nulls keep their type, other types (dates) become
    /// texts as polars writes them.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when polars cannot read a value, or a number is NaN or infinite, which no file of rows can hold.
    pub fn from_frame(frame: &DataFrame) -> Result<Self> {
        let mut examples = vec![Example::default(); frame.height()];
        for column in frame.columns() {
            for (row, example) in examples.iter_mut().enumerate() {
                let place = |error: Error| error.at(format_args!("column `{}`, row {row}", column.name())).in_row(row);
                example.set(column.name().as_str(), from_polars(&column.get(row)?).map_err(place)?);
            }
        }
        Ok(Self::from_examples(examples))
    }

    /// The rows as a polars table with one column a field, of the type that its values share; where they share none (numbers
    /// and texts) all are texts, an object is its JSON, a missing field is null.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when polars refuses a column.
    pub fn to_frame(&self) -> Result<DataFrame> {
        let column = |name: &String| {
            let values: Vec<AnyValue> =
                self.iter().map(|example| example.value(name).map_or(Ok(AnyValue::Null), to_polars)).collect::<Result<_>>()?;
            Ok(Series::from_any_values(name.as_str().into(), &values, false)?.into_column())
        };
        Ok(DataFrame::new(self.len(), self.columns().iter().map(column).collect::<Result<_>>()?)?)
    }
}

/// A value of polars as one of a row.
fn from_polars(value: &AnyValue<'_>) -> Result<Value> {
    let real = |number: f64| {
        serde_json::Number::from_f64(number).map(Value::Number).ok_or_else(|| {
            Error::new(ErrorKind::Data, format!("{number} is no number that a row can hold")).hint("write null there, or leave the row out")
        })
    };
    Ok(match value {
        AnyValue::Null => Value::Null,
        AnyValue::Boolean(truth) => Value::Bool(*truth),
        // As short as it is written, not with the digits that its 64 bits would show.
        AnyValue::Float32(number) => real(number.to_string().parse().unwrap_or(f64::from(*number)))?,
        AnyValue::Float64(number) => real(*number)?,
        AnyValue::List(list) => Value::Array(list.iter().map(|item| from_polars(&item)).collect::<Result<_>>()?),
        value if value.is_integer() => match value.extract::<u64>() {
            Some(number) => number.into(),
            None => value.extract::<i64>().map_or_else(|| value.str_value().into(), Value::from),
        },
        value => Value::String(value.str_value().into()),
    })
}

/// A value of a row as one of polars.
fn to_polars(value: &Value) -> Result<AnyValue<'_>> {
    Ok(match value {
        Value::Null => AnyValue::Null,
        Value::Bool(truth) => AnyValue::Boolean(*truth),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), ..) => AnyValue::Int64(number),
            (_, Some(number), _) => AnyValue::UInt64(number),
            (.., number) => number.map_or(AnyValue::Null, AnyValue::Float64),
        },
        Value::String(text) => AnyValue::String(text),
        Value::Array(items) => {
            let items: Vec<AnyValue> = items.iter().map(to_polars).collect::<Result<_>>()?;
            AnyValue::List(Series::from_any_values("".into(), &items, false)?)
        }
        Value::Object(_) => AnyValue::StringOwned(value.to_string().into()),
    })
}

fn table(frame: &DataFrame) -> Html {
    let names: Vec<String> = frame.get_column_names().iter().map(ToString::to_string).collect();
    let cell = |value: AnyValue<'_>| value.get_str().map_or_else(|| value.to_string(), String::from);
    preview(&names, frame.height(), |row| frame.columns().iter().map(|column| column.get(row).map(cell).unwrap_or_default()).collect())
}

impl Show for DataFrame {
    fn text(&self) -> String {
        table(self).text
    }

    fn rich(&self) -> Vec<(&'static str, serde_json::Value)> {
        table(self).rich()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_set_looks_like_its_table() {
        let rows = [vec![("a", "1"), ("b", "x\ny")], vec![("b", "")]];
        let data = Dataset::from_examples(rows.map(Example::new).into());
        let frame = data.to_frame().unwrap();
        assert_eq!((data.text(), data.rich()), (frame.text(), frame.rich()));
        assert!(data.text().contains("null") && data.text().ends_with("2 rows × 2 columns"), "{}", data.text());
    }
}
