//! Rows ↔ a polars table, and how a table is shown.

use polars::prelude::{AnyValue, DataFrame, DataType, IntoColumn, Series};
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

    /// The rows as a polars table with one column a field, of the type that its values share: truth values, whole numbers,
    /// numbers, texts, lists. Where they share none (numbers and texts, whole numbers that a float would round) all are texts,
    /// an object is its JSON, a missing field is null.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when polars refuses a column.
    pub fn to_frame(&self) -> Result<DataFrame> {
        let names = self.columns();
        let column = |(name, values): (&String, Vec<&Value>)| {
            let kind = values.iter().fold(Kind::Null, |kind, value| kind.joined(Kind::of(value)));
            Ok(series(name, &values, &kind)?.into_column())
        };
        Ok(DataFrame::new(self.len(), names.iter().zip(self.by_columns(&names)).map(column).collect::<Result<_>>()?)?)
    }
}

/// The type of a column.
#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Null,
    Bool,
    /// Whether one is below 0, beyond 63 bits, no whole number, or a whole number that a float would round.
    Number {
        negative: bool,
        large: bool,
        real: bool,
        exact: bool,
    },
    Text,
    List(Box<Kind>),
}

impl Kind {
    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Bool,
            Value::Number(number) => Self::Number {
                negative: number.as_i64().is_some_and(|number| number < 0),
                large: number.is_u64() && !number.is_i64(),
                real: number.is_f64(),
                exact: !number.is_f64() && number.as_i64().is_none_or(|number| number.unsigned_abs() > 1 << f64::MANTISSA_DIGITS),
            },
            Value::String(_) | Value::Object(_) => Self::Text,
            Value::Array(items) => Self::List(Box::new(items.iter().fold(Self::Null, |kind, item| kind.joined(Self::of(item))))),
        }
    }

    /// The type of values of both.
    fn joined(self, other: Self) -> Self {
        match (self, other) {
            (Self::Null, kind) | (kind, Self::Null) => kind,
            (Self::Bool, Self::Bool) => Self::Bool,
            (
                Self::Number { negative, large, real, exact },
                Self::Number { negative: negative_too, large: large_too, real: real_too, exact: exact_too },
            ) => {
                let (negative, large, real, exact) = (negative || negative_too, large || large_too, real || real_too, exact || exact_too);
                // No type of 64 bits holds both.
                if negative && large || real && exact { Self::Text } else { Self::Number { negative, large, real, exact } }
            }
            (Self::List(kind), Self::List(other)) => Self::List(Box::new(kind.joined(*other))),
            _ => Self::Text,
        }
    }

    fn dtype(&self) -> DataType {
        match self {
            Self::Null => DataType::Null,
            Self::Bool => DataType::Boolean,
            Self::Number { real: true, .. } => DataType::Float64,
            Self::Number { large: true, .. } => DataType::UInt64,
            Self::Number { .. } => DataType::Int64,
            Self::Text => DataType::String,
            Self::List(kind) => DataType::List(Box::new(kind.dtype())),
        }
    }
}

fn series(name: &str, values: &[&Value], kind: &Kind) -> Result<Series> {
    let values: Vec<AnyValue> = values.iter().map(|value| to_polars(value, kind)).collect::<Result<_>>()?;
    Ok(Series::from_any_values_and_dtype(name.into(), &values, &kind.dtype(), true)?)
}

/// A value of a row as one of polars, of the type of its column.
fn to_polars<'a>(value: &'a Value, kind: &Kind) -> Result<AnyValue<'a>> {
    Ok(match (value, kind) {
        (Value::Null, _) => AnyValue::Null,
        (Value::Bool(truth), Kind::Bool) => AnyValue::Boolean(*truth),
        (Value::Number(number), Kind::Number { real: true, .. }) => number.as_f64().map_or(AnyValue::Null, AnyValue::Float64),
        (Value::Number(number), Kind::Number { large: true, .. }) => number.as_u64().map_or(AnyValue::Null, AnyValue::UInt64),
        (Value::Number(number), Kind::Number { .. }) => number.as_i64().map_or(AnyValue::Null, AnyValue::Int64),
        (Value::Array(items), Kind::List(kind)) => AnyValue::List(series("", &items.iter().collect::<Vec<_>>(), kind)?),
        (Value::String(text), _) => AnyValue::String(text),
        (other, _) => AnyValue::StringOwned(other.to_string().into()),
    })
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
        AnyValue::Binary(bytes) => text(bytes)?,
        AnyValue::BinaryOwned(bytes) => text(bytes)?,
        // Its fields would be written without their names.
        value if value.dtype().is_nested() => {
            return Err(Error::new(ErrorKind::Data, format!("{} is no value that a row can hold", value.dtype()))
                .hint("take it apart first (in polars `unnest`), or leave the column out"));
        }
        value => Value::String(value.str_value().into()),
    })
}

/// Bytes that are text.
fn text(bytes: &[u8]) -> Result<Value> {
    std::str::from_utf8(bytes).map(Value::from).map_err(|error| {
        Error::new(ErrorKind::Data, format!("{} bytes that are no text, such as a picture", bytes.len()))
            .hint("leave the column out")
            .because(error)
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
