//! One training example: named text fields in the order of its file.

use std::fmt;
use std::ops::Index;

use crate::error::{Error, ErrorKind, Result};
use crate::util::names::quoted;

/// One row of a data set: ordered (field, text) pairs, such as `question` and `answer`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Example {
    fields: Vec<(String, String)>,
}

impl Example {
    /// An example from (field, text) pairs; a repeated field keeps its last text.
    pub fn new<N: Into<String>, T: Into<String>>(fields: impl IntoIterator<Item = (N, T)>) -> Self {
        let mut example = Self::default();
        for (name, text) in fields {
            example.set(name, text);
        }
        example
    }

    /// The text of a field, if the example has it.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, text)| text.as_str())
    }

    /// The text of a field that must be there; the error names the fields that are.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when the example has no such field.
    pub fn field(&self, name: &str) -> Result<&str> {
        self.get(name).ok_or_else(|| {
            Error::new(ErrorKind::Data, format!("column `{name}` is missing; the example has {}", quoted(&self.names())))
                .hint("name one of those columns, or rename the field in the file")
        })
    }

    /// Sets a field, in place or at the end.
    pub fn set(&mut self, name: impl Into<String>, text: impl Into<String>) {
        let (name, text) = (name.into(), text.into());
        match self.fields.iter_mut().find(|(field, _)| *field == name) {
            Some((_, old)) => *old = text,
            None => self.fields.push((name, text)),
        }
    }

    /// The field names in order.
    pub fn names(&self) -> Vec<String> {
        self.fields.iter().map(|(name, _)| name.clone()).collect()
    }

    /// The (field, text) pairs in order.
    pub fn fields(&self) -> &[(String, String)] {
        &self.fields
    }
}

impl Index<&str> for Example {
    type Output = str;

    /// The text of a field.
    ///
    /// # Panics
    /// When the field is missing, as the Python original does; [`Example::field`] returns an error instead.
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
        for (index, (name, text)) in self.fields.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(formatter, "{comma}{name:?}: {text:?}")?;
        }
        formatter.write_str("}")
    }
}
