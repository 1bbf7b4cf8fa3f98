//! One training example: named fields in the order of its file, each with its own type.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::ops::Index;

use serde_json::{Number, Value};

use crate::error::{Error, ErrorKind, Result};
use crate::util::names::{beginning, quoted};

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
        let (mut example, mut places) = (Self::default(), HashMap::new());
        for (name, value) in fields {
            let (name, value): (String, Value) = (name.into(), value.into());
            if example.fields.len() < MANY {
                example.set(name, value);
                continue;
            }
            // Of many fields the place of each is remembered, not looked for.
            if places.is_empty() {
                places.extend(example.fields.iter().enumerate().map(|(place, (name, _))| (name.clone(), place)));
            }
            match places.get(&name) {
                Some(&place) => example.fields[place].1 = value,
                None => {
                    places.insert(name.clone(), example.fields.len());
                    example.fields.push((name, value));
                }
            }
        }
        example
    }

    /// About how many bytes of memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.fields.iter().map(|(name, value)| size_of::<String>() + name.len() + bytes(value)).sum()
    }

    /// An example from fields whose names are known to differ.
    pub(crate) fn from_fields(fields: Vec<(String, Value)>) -> Self {
        Self { fields }
    }

    /// The value of a field, if the example has it; a null is a value here.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value)
    }

    /// The values of several fields: of many columns each is not looked for among all.
    pub(crate) fn values(&self, names: &[String]) -> Vec<Option<&Value>> {
        if self.fields.len().min(names.len()) < MANY {
            return names.iter().map(|name| self.value(name)).collect();
        }
        let all: HashMap<&str, &Value> = self.fields.iter().map(|(name, value)| (name.as_str(), value)).collect();
        names.iter().map(|name| all.get(name.as_str()).copied()).collect()
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
        let value = self.filled(name)?;
        as_text(value).ok_or_else(|| {
            Error::new(ErrorKind::Data, format!("column `{name}` is {}, not a text: {}", kind_of(value), short(value)))
                .hint("make a text of it first; messages of a chat are read by the chat template")
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

/// From so many fields on their places are kept in a map.
const MANY: usize = 32;

/// About how many bytes of memory a value takes.
fn bytes(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(bytes).sum(),
            Value::Object(fields) => fields.iter().map(|(name, value)| 2 * size_of::<String>() + name.len() + bytes(value)).sum(),
            _ => 0,
        }
}

/// A value as a template writes it; none for a null, a list and an object.
pub(crate) fn as_text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Bool(truth) => Some(Cow::Borrowed(if *truth { "True" } else { "False" })),
        Value::Number(number) => Some(Cow::Owned(as_python(number))),
        _ => None,
    }
}

/// A number as Python prints it.
pub(crate) fn as_python(number: &Number) -> String {
    match number.as_f64().filter(|_| number.is_f64()) {
        Some(number) => float_as_python(number),
        None => number.to_string(),
    }
}

/// `repr` of a float: the fewest digits that read back, an exponent of two digits below 0.0001 and from 10¹⁶ on.
pub(crate) fn float_as_python(number: f64) -> String {
    let scientific = format!("{number:e}");
    match scientific.split_once('e').and_then(|(digits, exponent)| Some((digits, exponent.parse::<i32>().ok()?))) {
        Some((digits, exponent)) if !(-4..16).contains(&exponent) => {
            format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
        }
        _ if number.fract() == 0.0 => format!("{number:.1}"),
        _ => number.to_string(),
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
    beginning(value)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_float_is_written_as_python_writes_it() {
        for (number, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1.5, "1.5"),
            (0.0001, "0.0001"),
            (1e-5, "1e-05"),
            (1.234e-5, "1.234e-05"),
            (5e-324, "5e-324"),
            (1e15, "1000000000000000.0"),
            (9999999999999998.0, "9999999999999998.0"),
            (1e16, "1e+16"),
            (-1.5e16, "-1.5e+16"),
            (123456789012345680000.0, "1.2345678901234568e+20"),
            (1e100, "1e+100"),
        ] {
            assert_eq!(float_as_python(number), text);
        }
        assert_eq!(as_python(&Number::from(u64::MAX)), "18446744073709551615");
    }

    #[test]
    fn many_fields_keep_the_last_value_of_a_name() {
        let fields = (0..100).map(|field| (format!("f{}", field % 70), field));
        let example = Example::new(fields);
        assert_eq!(example.fields().len(), 70);
        assert_eq!((example.value("f29"), example.value("f30")), (Some(&Value::from(99)), Some(&Value::from(30))));
    }
}
