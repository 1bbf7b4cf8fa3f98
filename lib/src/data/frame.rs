//! Rows ↔ a polars table, and how a table is shown.

use polars::prelude::{AnyValue, Column, DataFrame};

use crate::data::dataset::Dataset;
use crate::data::example::Example;
use crate::display::output::{Html, Show, preview};
use crate::error::Result;

impl Dataset {
    /// The rows of a polars table, each value as text; where a value is null the row has no such field.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Data`] when polars cannot read a value.
    pub fn from_frame(frame: &DataFrame) -> Result<Self> {
        let mut examples = vec![Example::default(); frame.height()];
        for column in frame.columns() {
            for (row, example) in examples.iter_mut().enumerate() {
                match column.get(row)? {
                    AnyValue::Null => {}
                    // polars shows six digits of a float; the field has them all.
                    AnyValue::Float64(number) => example.set(column.name().as_str(), number.to_string()),
                    AnyValue::Float32(number) => example.set(column.name().as_str(), number.to_string()),
                    value => example.set(column.name().as_str(), value.str_value()),
                }
            }
        }
        Ok(Self::from_examples(examples))
    }

    /// The rows as a polars table with one text column a field; a missing field is null.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Data`] when polars refuses a column.
    pub fn to_frame(&self) -> Result<DataFrame> {
        let column = |name: &String| {
            let texts: Vec<Option<&str>> = self.iter().map(|example| example.get(name)).collect();
            Column::new(name.as_str().into(), texts)
        };
        Ok(DataFrame::new(self.len(), self.columns().iter().map(column).collect())?)
    }
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
