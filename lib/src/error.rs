//! What goes wrong → one [`Error`] that says what was given, what is allowed, where, and what to do next.

use std::fmt;
use std::path::Path;

/// The result of every fallible call of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// The stage that refused its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// A data file, a row or a field.
    Data,
    /// Text to ids or ids to text.
    Tokenizer,
    /// A checkpoint, its configuration or its weights.
    Model,
    /// A name that has to be looked up, on disk or on a hub.
    Name,
    /// Training arguments, or training itself.
    Training,
    /// A file or a folder that cannot be read or written.
    File,
    /// A hosted model: its service is away, refuses, or answers nonsense.
    Service,
    /// Somebody asked the running cell to stop.
    Interrupted,
}

/// One error type for the whole crate: the message names the value, what is allowed and the place; the hint names the
/// next command or change.
#[derive(Debug, Clone)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
}

impl Error {
    /// An error of `kind` with a message.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None }
    }

    /// The same error with the next thing to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same error with the place where it happened in front.
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// The same error without a secret.
    pub(crate) fn without(mut self, secret: &str) -> Self {
        self.message = self.message.replace(secret, "…");
        self
    }

    /// The stage that refused its input.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// An input/output error together with the path that it concerns.
    pub fn file(path: &Path, error: std::io::Error) -> Self {
        let message = format!("`{}`: {error}", path.display());
        let hint = match error.kind() {
            std::io::ErrorKind::NotFound => "check the path; it is taken from the folder of the notebook",
            std::io::ErrorKind::PermissionDenied => "choose a folder that you may write to",
            _ => "check the file and the free disk space (`cargo lab doctor`)",
        };
        Self::new(ErrorKind::File, message).hint(hint)
    }

    /// The error of a cell that was asked to stop.
    pub fn interrupted(place: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Interrupted, format!("interrupted {place}")).hint("all variables are kept; run the cell again to go on")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(formatter, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        Self::new(ErrorKind::Model, format!("tensor computation: {error}"))
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::new(ErrorKind::Data, format!("file: {error}"))
    }
}

impl From<polars::error::PolarsError> for Error {
    fn from(error: polars::error::PolarsError) -> Self {
        Self::new(ErrorKind::Data, format!("table: {error}"))
    }
}

/// A choice that does not exist, with the ones that do.
pub(crate) fn unknown(kind: ErrorKind, what: &str, given: &str, allowed: &[String]) -> Error {
    Error::new(kind, format!("{what} `{given}` does not exist; there are: {}", quoted(allowed)))
}

/// `a`, `b`, `c`: how lists of names are written in messages.
pub(crate) fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The three names that need the fewest changes of a letter.
pub(crate) fn near(given: &str, names: &[String]) -> String {
    let mut by_distance: Vec<(usize, &String)> = names.iter().map(|name| (distance(given, name), name)).collect();
    by_distance.sort();
    quoted(&by_distance.iter().take(3).map(|(_, name)| (*name).clone()).collect::<Vec<_>>())
}

/// Letters to insert, remove or replace (Levenshtein 1966).
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (line, letter) in a.chars().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], line + 1);
        for (column, other) in b.iter().enumerate() {
            let replaced = corner + usize::from(letter != *other);
            corner = row[column + 1];
            row[column + 1] = replaced.min(corner + 1).min(row[column] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn distance_counts_changes() {
        assert_eq!([distance("kitten", "sitting"), distance("", "abc"), distance("abc", "abc")], [3, 3, 0]);
    }
}
