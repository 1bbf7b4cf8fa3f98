//! A file with one JSON object a line ↔ examples; an error names `file:line` and the field.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::data::example::Example;
use crate::error::{Error, ErrorKind, Result};

/// The examples of a .jsonl file, read one line at a time; blank lines are skipped, a bad line is an error.
#[derive(Debug)]
pub struct JsonLines {
    path: PathBuf,
    reader: BufReader<File>,
    line: usize,
}

impl JsonLines {
    /// Opens a .jsonl file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        let file = File::open(&path).map_err(|error| Error::file(&path, error))?;
        Ok(Self { path, reader: BufReader::new(file), line: 0 })
    }

    fn read(&mut self) -> Result<Option<Example>> {
        let mut text = String::new();
        loop {
            text.clear();
            self.line += 1;
            let bytes = self.reader.read_line(&mut text).map_err(|error| {
                Error::new(ErrorKind::Data, format!("{}:{}: {error}", self.path.display(), self.line)).hint("save the file as UTF-8 text")
            })?;
            if bytes == 0 {
                return Ok(None);
            }
            if !text.trim().is_empty() {
                return parse(&text).map(Some).map_err(|reason| {
                    Error::new(ErrorKind::Data, format!("{}:{}: {reason}", self.path.display(), self.line))
                        .hint("every line is one JSON object such as {\"question\": \"…\", \"answer\": \"…\"}; correct that line")
                });
            }
        }
    }
}

impl Iterator for JsonLines {
    type Item = Result<Example>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

fn parse(line: &str) -> std::result::Result<Example, String> {
    match serde_json::from_str::<Value>(line) {
        Ok(Value::Object(object)) => Ok(Example::new(object.into_iter().map(|(name, value)| (name, text_of(value))))),
        Ok(other) => Err(format!("expected a JSON object, found {}", kind_of(&other))),
        Err(error) => Err(format!("not valid JSON at column {}: {error}", error.column())),
    }
}

fn text_of(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// Writes examples as JSON lines: to a temporary file first, so that a failure leaves an old file as it was.
pub fn write(path: &Path, examples: &[Example]) -> Result<()> {
    let mut bytes = Vec::new();
    for example in examples {
        let object = example.fields().iter().map(|(name, text)| (name.clone(), Value::String(text.clone())));
        bytes.extend_from_slice(Value::Object(object.collect()).to_string().as_bytes());
        bytes.push(b'\n');
    }
    write_whole(path, &bytes)
}

/// Writes a whole file or leaves the old one: temporary neighbour, flush to disk, rename.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let fail = |error| Error::file(path, error);
    let temporary = path.with_extension(format!("{}.partial", std::process::id()));
    let written = File::create(&temporary).and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.and_then(|()| std::fs::rename(&temporary, path)).map_err(|error| {
        let _ = std::fs::remove_file(&temporary);
        fail(error)
    })
}
