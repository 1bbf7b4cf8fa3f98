//! Bytes of JSON, one after the other → the values of a list or an object, one at a time and without a copy of the rest.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use crate::data::bad::Bad;
use crate::data::json::{DEEPEST, Trouble};
use crate::data::jsonl::bad;
use crate::data::lines::{LONGEST_LINE, too_long, unreadable};

/// Reads a file of JSON from its beginning.
pub(crate) struct Scanner {
    path: PathBuf,
    reader: Box<dyn BufRead + Send>,
    /// Of the next byte, counted from 1 and from 0.
    pub(crate) line: usize,
    pub(crate) column: usize,
}

type Result<T> = std::result::Result<T, Box<Bad>>;

impl Scanner {
    pub(crate) fn new(path: &Path, reader: Box<dyn BufRead + Send>) -> Self {
        Self { path: path.to_path_buf(), reader, line: 1, column: 0 }
    }

    fn peek(&mut self) -> Result<Option<u8>> {
        let bytes = self.reader.fill_buf();
        bytes.map(|bytes| bytes.first().copied()).map_err(|error| Bad::end(unreadable(&self.path, self.line, error)))
    }

    fn skip(&mut self, byte: u8) {
        self.reader.consume(1);
        // A lone `\r` cannot be told from that of `\r\n` here: columns then go on.
        (self.line, self.column) = if byte == b'\n' { (self.line + 1, 0) } else { (self.line, self.column + 1) };
    }

    /// The next byte that is not blank; it is not taken.
    pub(crate) fn next_byte(&mut self) -> Result<Option<u8>> {
        loop {
            match self.peek()? {
                Some(byte @ (b' ' | b'\t' | b'\n' | b'\r')) => self.skip(byte),
                other => return Ok(other),
            }
        }
    }

    /// Takes a byte that has to be there.
    pub(crate) fn take(&mut self, wanted: u8) -> Result<()> {
        match self.next_byte()? {
            Some(byte) if byte == wanted => {
                self.skip(byte);
                Ok(())
            }
            found => Err(self.wrong(format!("expected `{}`, {}", char::from(wanted), found_text(found)))),
        }
    }

    /// An error at this place, behind which nothing can be read.
    pub(crate) fn wrong(&self, what: impl Into<String>) -> Box<Bad> {
        let trouble = Trouble { at: self.column, field: String::new(), what: what.into(), hint: None, syntax: true };
        Bad::end(
            bad(&self.path, self.line, &trouble).hint("correct the file there; a comma stands between two values and none behind the last"),
        )
    }

    /// The next value of a list or object that is open: false behind the last one. `first` is set once the first was seen.
    pub(crate) fn more(&mut self, first: &mut bool, close: u8) -> Result<bool> {
        match self.next_byte()? {
            Some(byte) if byte == close => {
                self.skip(byte);
                return Ok(false);
            }
            Some(b',') if !*first => {
                self.skip(b',');
                if self.next_byte()? == Some(close) {
                    return Err(self.wrong(format!("a comma stands before the closing `{}`", char::from(close))));
                }
            }
            _ if *first => {}
            found => return Err(self.wrong(format!("expected `,` or `{}`, {}", char::from(close), found_text(found)))),
        }
        *first = false;
        Ok(true)
    }

    /// Takes one value; its bytes go into `copy`, where there is one. What it means is not looked at, where it ends is.
    pub(crate) fn value(&mut self, mut copy: Option<&mut Vec<u8>>) -> Result<()> {
        let (start, mut depth, mut in_text, mut escaped, mut taken) = (self.line, 0_usize, false, false, 0_usize);
        self.next_byte()?;
        loop {
            let bytes = self.reader.fill_buf().map_err(|error| Bad::end(unreadable(&self.path, self.line, error)))?;
            if bytes.is_empty() {
                return match depth == 0 && !in_text && taken > 0 {
                    true => Ok(()),
                    false => Err(self.wrong("the file ends inside of a value")),
                };
            }
            let (mut used, mut done, mut too_deep) = (0, false, false);
            for &byte in bytes {
                if in_text {
                    (in_text, escaped) = (escaped || byte != b'"', !escaped && byte == b'\\');
                    done = !in_text && depth == 0;
                } else {
                    match byte {
                        b'"' => in_text = true,
                        b'{' | b'[' => depth += 1,
                        // The end of what is around it.
                        b'}' | b']' | b',' if depth == 0 => break,
                        b'}' | b']' => {
                            depth -= 1;
                            done = depth == 0;
                        }
                        b' ' | b'\t' | b'\n' | b'\r' | b':' if depth == 0 => break,
                        _ => {}
                    }
                    too_deep = depth > DEEPEST;
                }
                used += 1;
                (self.line, self.column) = if byte == b'\n' { (self.line + 1, 0) } else { (self.line, self.column + 1) };
                if done || too_deep {
                    break;
                }
            }
            let ended = done || used < bytes.len();
            if let Some(copy) = &mut copy {
                copy.extend_from_slice(&bytes[..used]);
            }
            self.reader.consume(used);
            taken += used;
            if too_deep {
                return Err(self.wrong(format!("lists and objects stand more than {DEEPEST} deep in each other")));
            }
            if copy.is_some() && taken > LONGEST_LINE {
                return Err(Bad::end(too_long(&self.path, start)));
            }
            if ended {
                return if taken > 0 { Ok(()) } else { Err(self.wrong("a value is missing")) };
            }
        }
    }
}

fn found_text(found: Option<u8>) -> String {
    match found {
        Some(byte) if byte.is_ascii() => format!("found `{}`", char::from(byte).escape_debug()),
        Some(_) => "found something else".to_string(),
        None => "but the file ends here".to_string(),
    }
}
