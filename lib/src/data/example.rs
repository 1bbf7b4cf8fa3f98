//! One training example: named fields in the order of its file, each with its own type.

use std::borrow::Cow;
use std::fmt;
use std::ops::Index;

use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};
use crate::util::names::quoted;

/// One row of a data set: ordered (field, value) pairs, such as the texts `question` and `answer`.
///
/// A value keeps the type that its file gives it: text, number, true or false, list, object, or null. A null is no value:
/// where a text is asked for, the field counts as missing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Example {
    fields: Vec<(String, Value)>,
}

impl Example {
    /// An example from (field, value) pairs; a repeated field keeps its last value.
    pub fn new<N: Into<String>, V: Into<Value>>(fields: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut example = Self::default();
        for (name, value) in fields {
            example.set(name, value);
        }
        example
    }

    /// An example from fields whose names are known to differ.
    pub(crate) fn from_fields(fields: Vec<(String, Value)>) -> Self {
        Self { fields }
    }

    /// The value of a field, if the example has it; a null is a value here.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value)
    }

    /// The text of a field, if the example has it and it is a text.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.value(name).and_then(Value::as_str)
    }

    /// The text of a field that must be there; the error names the fields that are.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when the example has no such field, or it is no text: [`Example::value`] has any type,
    /// [`Example::text`] also writes numbers.
    pub fn field(&self, name: &str) -> Result<&str> {
        match self.filled(name)? {
            Value::String(text) => Ok(text),
            other => Err(Error::new(ErrorKind::Data, format!("column `{name}` is {}, not a text: {}", kind_of(other), short(other)))
                .hint(format!("take it with its type by `value({name:?})`, or a number as text by `text({name:?})`"))),
        }
    }

    /// A field as a template writes it: a text as it is, numbers and truth values as Python prints them.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when the example has no such field, or it is a list or an object, which is no text to learn.
    pub fn text(&self, name: &str) -> Result<Cow<'_, str>> {
        Ok(match self.filled(name)? {
            Value::String(text) => Cow::Borrowed(text),
            Value::Bool(true) => Cow::Borrowed("True"),
            Value::Bool(false) => Cow::Borrowed("False"),
            Value::Number(number) => Cow::Owned(number.to_string()),
            other => {
                return Err(Error::new(ErrorKind::Data, format!("column `{name}` is {}, not a text: {}", kind_of(other), short(other)))
                    .hint("make a text of it first; messages of a chat are read by the chat template"));
            }
        })
    }

    /// A value that is there and no null.
    fn filled(&self, name: &str) -> Result<&Value> {
        let missing = |what: &str| {
            Error::new(ErrorKind::Data, format!("column `{name}` is {what}; the example has {}", quoted(&self.names())))
                .hint("name one of those columns, or rename the field in the file")
        };
        match self.value(name) {
            None => Err(missing("missing")),
            Some(Value::Null) => Err(missing("null").hint("write a text there, or leave the row out")),
            Some(value) => Ok(value),
        }
    }

    /// Sets a field, in place or at the end.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        let (name, value) = (name.into(), value.into());
        match self.fields.iter_mut().find(|(field, _)| *field == name) {
            Some((_, old)) => *old = value,
            None => self.fields.push((name, value)),
        }
    }

    /// Takes a field out.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        let place = self.fields.iter().position(|(field, _)| field == name)?;
        Some(self.fields.remove(place).1)
    }

    /// The field names in order.
    pub fn names(&self) -> Vec<String> {
        self.fields.iter().map(|(name, _)| name.clone()).collect()
    }

    /// The (field, value) pairs in order.
    pub fn fields(&self) -> &[(String, Value)] {
        &self.fields
    }

    /// The (field, value) pairs, given away.
    pub fn into_fields(self) -> Vec<(String, Value)> {
        self.fields
    }
}

/// The kind of a value, for messages.
pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The beginning of a value, for messages.
pub(crate) fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}

/// A value in a cell of a table: a text as it is, everything else as JSON.
pub(crate) fn cell(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), String::from)
}

impl Index<&str> for Example {
    type Output = str;

    /// The text of a field.
    ///
    /// # Panics
    /// When the field is missing or no text, as the Python original does; [`Example::field`] returns an error instead.
    fn index(&self, name: &str) -> &str {
        match self.field(name) {
            Ok(text) => text,
            Err(error) => panic!("{error}"),
        }
    }
}

impl fmt::Display for Example {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("{")?;
        for (index, (name, value)) in self.fields.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            match value {
                Value::String(text) => write!(formatter, "{comma}{name:?}: {text:?}")?,
                other => write!(formatter, "{comma}{name:?}: {other}")?,
            }
        }
        formatter.write_str("}")
    }
}
