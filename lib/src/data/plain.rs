//! A text file → examples with the one field `text`: a line, a paragraph or the whole file each, as `datasets` reads them.

use std::io::Read;
use std::path::PathBuf;

use serde_json::Value;

use crate::data::bad::{Bad, Row};
use crate::data::example::Example;
use crate::data::input::{Input, not_utf8};
use crate::data::lines::{LONGEST_LINE, Lines, too_long, unreadable};
use crate::util::interrupt;

/// What a row of a text file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SampleBy {
    /// A line, empty ones as well.
    #[default]
    Line,
    /// What stands between two blank lines.
    Paragraph,
    /// The whole file.
    Document,
}

/// The rows of a text file. Lines end with `\n`, `\r\n` or `\r`.
pub(crate) struct PlainRows {
    path: PathBuf,
    lines: Lines,
    by: SampleBy,
    ready: std::vec::IntoIter<Row>,
    /// A paragraph that goes on.
    open: String,
    ended: bool,
    document: Option<Box<dyn Read + Send>>,
}

impl PlainRows {
    pub(crate) fn new(input: Input, by: SampleBy) -> Self {
        let (reader, document): (Box<dyn Read + Send>, Option<Box<dyn Read + Send>>) = match by {
            SampleBy::Document => (Box::new(std::io::empty()), Some(Box::new(input.reader))),
            _ => (Box::new(input.reader), None),
        };
        Self { path: input.path, lines: Lines::new(reader), by, ready: Vec::new().into_iter(), open: String::new(), ended: false, document }
    }

    /// The next row, or what is in its place.
    pub(crate) fn row(&mut self) -> Option<Row> {
        loop {
            if let Some(row) = self.ready.next() {
                return Some(row);
            }
            if self.ended {
                return None;
            }
            match self.read() {
                Ok(rows) => self.ready = rows.into_iter(),
                Err(bad) => {
                    self.ended = true;
                    return Some(Err(bad));
                }
            }
        }
    }

    fn read(&mut self) -> Result<Vec<Row>, Box<Bad>> {
        interrupt::check(format_args!("while reading `{}`", self.path.display())).map_err(Bad::end)?;
        if let Some(reader) = self.document.take() {
            self.ended = true;
            let mut bytes = Vec::new();
            let read = reader.take(LONGEST_LINE as u64 + 1).read_to_end(&mut bytes);
            read.map_err(|error| Bad::end(unreadable(&self.path, 1, error)))?;
            if bytes.len() > LONGEST_LINE {
                return Err(Bad::end(too_long(&self.path, 1)));
            }
            let text = String::from_utf8(bytes).map_err(|error| {
                let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
                Bad::end(not_utf8(&self.path, 1 + before.iter().filter(|byte| **byte == b'\n').count(), error.utf8_error()))
            })?;
            return Ok(if text.is_empty() { Vec::new() } else { vec![Ok(row(universal(text)))] });
        }
        let first = self.lines.line;
        let Some((block, end)) = self.lines.block(&self.path)? else {
            self.ended = true;
            let open = std::mem::take(&mut self.open);
            return Ok(if open.is_empty() { Vec::new() } else { vec![Ok(row(open))] });
        };
        let lines = block.strip_suffix(&[end]).unwrap_or(block).split(|byte| *byte == end);
        let (mut rows, mut count, mut text) = (Vec::new(), 0, String::new());
        for line in lines {
            count += 1;
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            match std::str::from_utf8(line) {
                Err(error) => rows.push(Err(Bad::row(not_utf8(&self.path, first + count, error)))),
                // A `\r` inside of a line ends one as well.
                Ok(line) if self.by == SampleBy::Line => rows.extend(line.split('\r').map(|line| Ok(row(line.to_string())))),
                Ok(line) => {
                    text += &line.replace('\r', "\n");
                    text += "\n";
                }
            }
        }
        if self.by == SampleBy::Paragraph {
            if block.last() != Some(&end) {
                text.pop();
            }
            let all = std::mem::take(&mut self.open) + &text;
            if all.len() > LONGEST_LINE {
                return Err(Bad::end(too_long(&self.path, first + 1)));
            }
            // The last part may go on in the next block.
            let mut parts: Vec<&str> = all.split("\n\n").collect();
            let open = parts.pop().unwrap_or_default().to_string();
            rows.extend(parts.into_iter().filter(|part| !part.is_empty()).map(|part| Ok(row(part.to_string()))));
            self.open = open;
        }
        self.lines.line = first + count;
        Ok(rows)
    }
}

fn row(text: String) -> Example {
    Example::from_fields(vec![("text".to_string(), Value::String(text))])
}

/// All ends of lines as `\n`.
fn universal(text: String) -> String {
    if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text }
}
