//! JSON of others → a value that is not deeper than [`JSON_DEPTH`](crate::border::limits::JSON_DEPTH), or an error with file, line and column.
//!
//! serde_json stops at that depth by itself: its feature `unbounded_depth`, which another crate turns on, only adds the method
//! that takes the stop away, and nothing here calls it. `tests/border` sees to it.

use std::fmt;
use std::path::Path;

use serde::de::{DeserializeOwned, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::border::file;
use crate::border::limits::{JSON_VALUES, Limit};
use crate::error::{Error, ErrorKind, Result};

/// A value of bytes that came without a file, such as the body of a request.
///
/// # Errors
/// What is wrong: no JSON, too deep, more than [`JSON_VALUES`] values, or another type.
pub fn value<T: DeserializeOwned>(bytes: &[u8]) -> std::result::Result<T, serde_json::Error> {
    // Each value but the first has a comma before it, or opens what it stands in; signs in texts count as well.
    let most = 1 + bytes.iter().filter(|byte| b",[{".contains(byte)).count();
    if most > JSON_VALUES {
        return Err(serde_json::Error::custom(format_args!("about {most} values; {JSON_VALUES} are allowed")));
    }
    serde_json::from_slice(bytes)
}

/// An object in which no name stands twice: which of two is meant cannot be known.
#[derive(Debug, Clone, Default)]
pub struct Unique(pub Map<String, Value>);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Unique;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> std::result::Result<Unique, A::Error> {
                let mut found = Map::new();
                while let Some((name, value)) = fields.next_entry::<String, Value>()? {
                    if found.contains_key(&name) {
                        return Err(A::Error::custom(format_args!("`{name}` stands twice")));
                    }
                    found.insert(name, value);
                }
                Ok(Unique(found))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// A value of a file's bytes.
///
/// # Errors
/// An error of `kind` for what is no JSON, is too deep, or does not fit the type; `hint` says what to do.
pub fn parse<T: DeserializeOwned>(bytes: &[u8], path: &Path, kind: ErrorKind, hint: &str) -> Result<T> {
    value(bytes).map_err(|error| {
        let what = if error.is_data() { "not as expected" } else { "not valid JSON" };
        Error::new(kind, format!("`{}` is {what}: {error}", path.display())).hint(hint).in_file(path).because(error)
    })
}

/// A file's value.
///
/// # Errors
/// As [`file::read`] and [`parse`].
pub fn read<T: DeserializeOwned>(path: &Path, limit: Limit, kind: ErrorKind, hint: &str) -> Result<T> {
    parse(&file::read(path, limit)?, path, kind, hint)
}

/// [`read`] of a file that need not be there.
///
/// # Errors
/// As [`read`], but for a file that is missing.
pub fn read_if_there<T: DeserializeOwned>(path: &Path, limit: Limit, kind: ErrorKind, hint: &str) -> Result<Option<T>> {
    file::read_if_there(path, limit)?.map(|bytes| parse(&bytes, path, kind, hint)).transpose()
}
