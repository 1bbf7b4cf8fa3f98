//! What goes wrong → one [`Error`] that says what was given, what is allowed, where, what to do next, and what caused it.

use std::error::Error as Cause;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The result of every fallible call of this crate; with two types it is the standard library's.
///
/// ```
/// use finetuning::*;
/// fn own() -> Result<u32, std::num::ParseIntError> {
///     "7".parse()
/// }
/// fn ours() -> Result<u32> {
///     own().map_err(|error| Error::new(ErrorKind::Data, "a number is missing").because(error))
/// }
/// assert_eq!(ours()?, 7);
/// # Ok::<(), Error>(())
/// ```
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The stage that refused its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
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
    /// An exercise of the course that is not solved yet.
    Exercise,
    /// Somebody asked the running cell to stop.
    Interrupted,
}

/// One error type for the whole crate: the message names the value, what is allowed and the place; the hint names the
/// next command or change.
///
/// Its text is whole by itself, so that a cell can show it alone; [`source`](std::error::Error::source) leads on to the
/// error of the library or the system below, down to the root.
#[derive(Clone)]
pub struct Error(Box<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    path: Option<PathBuf>,
    row: Option<usize>,
    source: Option<Arc<dyn Cause + Send + Sync>>,
}

impl Error {
    /// An error of `kind` with a message.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Parts { kind, message: message.into(), hint: None, path: None, row: None, source: None }))
    }

    /// The same error with the next thing to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// The same error with the place where it happened in front.
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.0.message = format!("{place}: {}", self.0.message);
        self
    }

    /// The same error with the file or folder that it concerns; the message stays as it is.
    pub fn in_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.0.path = Some(path.into());
        self
    }

    /// The same error with the row of a data set or the line of a file that it concerns; the message stays as it is.
    pub fn in_row(mut self, row: usize) -> Self {
        self.0.row = Some(row);
        self
    }

    /// The same error with the one that caused it; the message stays as it is.
    pub fn because(mut self, source: impl Into<Box<dyn Cause + Send + Sync>>) -> Self {
        self.0.source = Some(Arc::from(source.into()));
        self
    }

    /// The same error without a secret, and without the cause, which may hold it too.
    #[cfg_attr(not(feature = "hosted"), allow(dead_code))]
    pub(crate) fn without(mut self, secret: &str) -> Self {
        self.0.message = self.0.message.replace(secret, "…");
        self.0.source = None;
        self
    }

    /// The stage that refused its input.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What happened, without the hint.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The next thing to do, where there is one.
    pub fn advice(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The file or folder that it concerns, where it is known.
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// The row of a data set, counted from 0, or the line or row of a file, counted from 1, where it is known.
    pub fn row(&self) -> Option<usize> {
        self.0.row
    }

    /// An input/output error together with the path that it concerns.
    pub fn file(path: &Path, error: std::io::Error) -> Self {
        let message = format!("`{}`: {error}", path.display());
        let hint = match error.kind() {
            std::io::ErrorKind::NotFound => "check the path; it is taken from the folder of the notebook",
            std::io::ErrorKind::PermissionDenied => "choose a folder that you may write to",
            _ => "check the file and the free disk space (`cargo lab doctor`)",
        };
        Self::new(ErrorKind::File, message).hint(hint).in_file(path).because(error)
    }

    /// The error of a cell that was asked to stop.
    pub fn interrupted(place: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Interrupted, format!("interrupted {place}")).hint("all variables are kept; run the cell again to go on")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.message)?;
        match &self.0.hint {
            Some(hint) => write!(formatter, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    /// The fields that are there.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { kind, message, hint, path, row, source } = &*self.0;
        let mut fields = formatter.debug_struct("Error");
        fields.field("kind", kind).field("message", message).field("hint", hint);
        if let Some(path) = path {
            fields.field("path", path);
        }
        if let Some(row) = row {
            fields.field("row", row);
        }
        if let Some(source) = source {
            fields.field("source", source);
        }
        fields.finish()
    }
}

impl Cause for Error {
    fn source(&self) -> Option<&(dyn Cause + 'static)> {
        self.0.source.as_ref().map(|source| &**source as &(dyn Cause + 'static))
    }
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        let error = without_backtrace(error);
        Self::new(ErrorKind::Model, format!("tensor computation: {error}")).because(error)
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::new(ErrorKind::File, format!("file: {error}")).because(error)
    }
}

#[cfg(feature = "data-frames")]
impl From<polars::error::PolarsError> for Error {
    fn from(error: polars::error::PolarsError) -> Self {
        Self::new(ErrorKind::Data, format!("table: {error}")).because(error)
    }
}

/// candle's error without the pages that it adds to its text when `RUST_BACKTRACE` is set.
fn without_backtrace(error: candle_core::Error) -> candle_core::Error {
    use candle_core::Error::{Context, WithBacktrace, WithPath};
    match error {
        WithBacktrace { inner, .. } => without_backtrace(*inner),
        Context { inner, context } => Context { inner: Box::new(without_backtrace(*inner)), context },
        WithPath { inner, path } => WithPath { inner: Box::new(without_backtrace(*inner)), path },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_stands_at_the_end_of_the_chain() {
        let root = std::fs::read("/no/such/file").unwrap_err();
        let error = Error::file(Path::new("/no/such/file"), root).at("row 3").in_row(3);
        assert_eq!((error.path(), error.row()), (Some(Path::new("/no/such/file")), Some(3)));
        let source = error.source().and_then(|source| source.downcast_ref::<std::io::Error>()).map(std::io::Error::kind);
        assert_eq!(source, Some(std::io::ErrorKind::NotFound));
        let outer = Error::new(ErrorKind::Training, "no training").because(error);
        let below = outer.source().and_then(Cause::source).map(ToString::to_string);
        assert_eq!(below.as_deref(), Some("No such file or directory (os error 2)"));
        assert_eq!(Error::from(std::io::Error::other("full")).kind(), ErrorKind::File);
    }

    #[test]
    fn candles_backtrace_stays_out_of_the_text() {
        let trace = |inner| candle_core::Error::WithBacktrace {
            inner: Box::new(inner),
            backtrace: Box::new(std::backtrace::Backtrace::force_capture()),
        };
        // What candle returns under `RUST_BACKTRACE=1`.
        let error = trace(trace(candle_core::Error::Msg("no shape".into())).context("a layer").with_path("m.safetensors"));
        assert!(error.to_string().contains("candles_backtrace_stays_out_of_the_text"));
        let error = Error::from(error);
        let whole = format!("{error}{error:?}{}", error.source().unwrap());
        assert!(whole.contains("no shape") && whole.contains("a layer") && whole.contains("m.safetensors"), "{whole}");
        assert!(!whole.contains("candles_backtrace_stays_out_of_the_text"), "{whole}");
    }
}
