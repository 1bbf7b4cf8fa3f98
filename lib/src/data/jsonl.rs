//! A file with one JSON object a line ↔ examples; an error names `file:line` and the field.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::border::{file, limits};
use crate::data::example::{Example, kind_of};
use crate::error::{Error, ErrorKind, Result};
use crate::util::write::write_whole;

/// The examples of a .jsonl file, read one line at a time; blank lines are skipped, a bad line is an error.
#[derive(Debug)]
pub struct JsonLines {
    path: PathBuf,
    reader: BufReader<File>,
    line: usize,
}

impl JsonLines {
    /// Opens a .jsonl file.
    ///
    /// # Errors
    /// [`ErrorKind::File`] when it cannot be opened.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        let file = file::open(&path)?;
        Ok(Self { path, reader: BufReader::new(file), line: 0 })
    }

    fn read(&mut self) -> Result<Option<Example>> {
        let mut text = String::new();
        loop {
            text.clear();
            self.line += 1;
            let bytes = self.reader.read_line(&mut text).map_err(|error| {
                let found = Error::new(ErrorKind::Data, error.to_string()).because(error);
                self.place(found).hint("save the file as UTF-8 text")
            })?;
            if bytes == 0 {
                return Ok(None);
            }
            if !text.trim().is_empty() {
                return parse(&text).map(Some).map_err(|error| {
                    self.place(error)
                        .hint("every line is one JSON object such as {\"question\": \"…\", \"answer\": \"…\"}; correct that line")
                });
            }
        }
    }
}

impl JsonLines {
    /// The error with the file and the line that was read last.
    fn place(&self, error: Error) -> Error {
        error.at(format_args!("{}:{}", self.path.display(), self.line)).in_file(&self.path).in_row(self.line)
    }
}

impl Iterator for JsonLines {
    type Item = Result<Example>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

fn parse(line: &str) -> Result<Example> {
    match serde_json::from_str::<Value>(line) {
        Ok(Value::Object(object)) if object.len() > limits::FIELDS => {
            Err(Error::new(ErrorKind::Data, format!("the row has {} fields; it may have {}", object.len(), limits::FIELDS)))
        }
        Ok(Value::Object(object)) => Ok(Example::new(object)),
        Ok(other) => Err(Error::new(ErrorKind::Data, format!("expected a JSON object, found {}", kind_of(&other)))),
        Err(error) => Err(Error::new(ErrorKind::Data, format!("not valid JSON at column {}: {error}", error.column())).because(error)),
    }
}

/// Writes examples as JSON lines: to a temporary file first, so that a failure leaves an old file as it was.
///
/// # Errors
/// [`ErrorKind::File`] when it cannot be written.
pub fn write(path: &Path, examples: &[Example]) -> Result<()> {
    let mut bytes = Vec::new();
    for example in examples {
        let object = Value::Object(example.fields().iter().cloned().collect());
        bytes.extend_from_slice(object.to_string().as_bytes());
        bytes.push(b'\n');
    }
    write_whole(path, &bytes)
}
