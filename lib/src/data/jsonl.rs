//! A file with one JSON object a line ↔ examples; an error names `file:line`, the column and the field.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::{fmt, vec};

use rayon::prelude::*;

use crate::data::bad::{Bad, Row};
use crate::data::example::Example;
use crate::data::input::{Input, not_utf8};
use crate::data::json::{Trouble, fields};
use crate::data::lines::Lines;
use crate::error::{Error, ErrorKind, Result};
use crate::util::interrupt;
use crate::util::write::replace;

/// A block below this size is not worth a second thread.
const SMALL: usize = 256 << 10;

/// What a thread's heap grows by, below the size at which it would be given back at once.
const ROOM: usize = 96 << 10;

/// The examples of a .jsonl file, read block by block and parsed by all threads; blank lines are skipped, a bad line is an error.
pub struct JsonLines {
    path: PathBuf,
    lines: Lines,
    /// What was read and not given out, in order.
    ready: vec::IntoIter<vec::IntoIter<Row>>,
    open: vec::IntoIter<Row>,
}

impl JsonLines {
    /// Opens a .jsonl file, which may be packed by gzip or Zstandard.
    ///
    /// # Errors
    /// [`ErrorKind::File`] when it cannot be opened; [`ErrorKind::Data`] when it is another kind of file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let input = Input::open(path.as_ref(), None)?;
        Ok(Self::new(input))
    }

    pub(crate) fn new(input: Input) -> Self {
        Self { path: input.path, lines: Lines::new(input.reader), ready: Vec::new().into_iter(), open: Vec::new().into_iter() }
    }

    /// The next row, with what is in its place.
    pub(crate) fn row(&mut self) -> Option<Row> {
        loop {
            if let Some(row) = self.open.next() {
                return Some(row);
            }
            if let Some(rows) = self.ready.next() {
                self.open = rows;
                continue;
            }
            match self.read() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(bad) => return Some(Err(bad)),
            }
        }
    }

    /// Reads a block and parses its lines; false at the end of the file.
    fn read(&mut self) -> Result<bool, Box<Bad>> {
        interrupt::check(format_args!("while reading `{}`", self.path.display())).map_err(Bad::end)?;
        let first = self.lines.line;
        let Some((block, end)) = self.lines.block(&self.path)? else { return Ok(false) };
        let size = if block.len() < SMALL { block.len() } else { block.len().div_ceil(2 * rayon::current_num_threads()) };
        let mut pieces: Vec<(usize, &[u8])> = Vec::new();
        let (mut rest, mut line) = (block, first);
        while !rest.is_empty() {
            let start = size.min(rest.len()) - 1;
            let cut = rest[start..].iter().position(|byte| *byte == end).map_or(rest.len(), |at| start + at + 1);
            let (piece, more) = rest.split_at(cut);
            pieces.push((line, piece));
            line += piece.iter().filter(|byte| **byte == end).count();
            rest = more;
        }
        let parse_all = |(line, piece): &(usize, &[u8])| parse(&self.path, *line, piece, end).into_iter();
        let ready: Vec<_> =
            if pieces.len() == 1 { pieces.iter().map(parse_all).collect() } else { pieces.par_iter().map(parse_all).collect() };
        self.lines.line = line;
        self.ready = ready.into_iter();
        Ok(true)
    }
}

impl Iterator for JsonLines {
    type Item = Result<Example>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.row()?.map_err(|bad| bad.error))
    }
}

impl fmt::Debug for JsonLines {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("JsonLines").field("path", &self.path).field("line", &self.lines.line).finish_non_exhaustive()
    }
}

/// The rows of some lines, of which `before` stand in front.
fn parse(path: &Path, before: usize, lines: &[u8], end: u8) -> Vec<Row> {
    let mut names = Vec::new();
    let mut rows = Vec::with_capacity(lines.len() / 256);
    // A thread's heap grows page by page, with a call of the system for each, unless room was asked for at once.
    drop(std::hint::black_box(Vec::<u8>::with_capacity(ROOM)));
    let pieces = lines.strip_suffix(&[end]).unwrap_or(lines).split(|byte| *byte == end);
    for (index, line) in pieces.enumerate() {
        let number = before + index + 1;
        let row = match std::str::from_utf8(line) {
            Err(error) => Err(not_utf8(path, number, error)),
            Ok(text) if text.trim_ascii().is_empty() => continue,
            Ok(text) => fields(text, &mut names).map(Example::from_fields).map_err(|trouble| {
                bad(path, number, &trouble).hint(
                    trouble
                        .hint
                        .unwrap_or("every line is one JSON object such as {\"question\": \"…\", \"answer\": \"…\"}; correct that line"),
                )
            }),
        };
        rows.push(row.map_err(Bad::row));
    }
    rows
}

/// The error of a line with its column, counted in bytes from 1, and its field.
pub(crate) fn bad(path: &Path, line: usize, trouble: &Trouble) -> Error {
    let field = if trouble.field.is_empty() { String::new() } else { format!(", field `{}`", short(&trouble.field)) };
    let syntax = if trouble.syntax { "not valid JSON at " } else { "" };
    Error::new(ErrorKind::Data, format!("{}:{line}: {syntax}column {}{field}: {}", path.display(), trouble.at + 1, trouble.what))
        .in_file(path)
        .in_row(line)
}

/// The beginning of a long field's path.
fn short(field: &str) -> String {
    match field.char_indices().nth(80) {
        Some((cut, _)) => format!("{}…", &field[..cut]),
        None => field.to_string(),
    }
}

/// Writes examples as JSON lines: to a temporary file first, so that a failure leaves an old file as it was.
///
/// # Errors
/// [`ErrorKind::File`] when it cannot be written.
pub fn write<'a>(path: &Path, examples: impl IntoIterator<Item = &'a Example> + Clone) -> Result<()> {
    let make = |aside: &Path| {
        let mut file = BufWriter::with_capacity(1 << 20, File::create_new(aside)?);
        let mut bytes = Vec::new();
        for example in examples.clone() {
            bytes.clear();
            line(&mut bytes, example);
            file.write_all(&bytes)?;
        }
        file.flush()?;
        file.get_ref().sync_all()
    };
    replace(path, make).map_err(|error| Error::file(path, error))
}

/// How many bytes an example is as a line.
pub(crate) fn length(example: &Example) -> usize {
    let mut bytes = Vec::new();
    line(&mut bytes, example);
    bytes.len()
}

/// Adds an example as a line.
pub(crate) fn line(bytes: &mut Vec<u8>, example: &Example) {
    object(bytes, example);
    bytes.push(b'\n');
}

/// Adds an example as an object, its fields in their order.
pub(crate) fn object(bytes: &mut Vec<u8>, example: &Example) {
    bytes.push(b'{');
    for (index, (name, value)) in example.fields().iter().enumerate() {
        if index > 0 {
            bytes.push(b',');
        }
        // Text and values of JSON are always written: nothing but memory could fail.
        let _ = serde_json::to_writer(&mut *bytes, name);
        bytes.push(b':');
        let _ = serde_json::to_writer(&mut *bytes, value);
    }
    bytes.push(b'}');
}
