//! Bytes of CSV → records of cells, each with whether it was quoted; an error knows the line.
//!
//! RFC 4180: a cell in double quotes holds anything, a quote in it is written twice. Unlike a general reader it refuses a
//! quote that is never closed, and it tells an empty cell from a quoted one.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use crate::border::limits::FIELDS;
use crate::data::bad::Bad;
use crate::data::input::not_utf8;
use crate::data::lines::{LONGEST_LINE, too_long, unreadable};
use crate::error::{Error, ErrorKind};

/// Reads a file record by record; blank lines are skipped.
pub(crate) struct Records {
    path: PathBuf,
    reader: Box<dyn BufRead + Send>,
    delimiter: u8,
    /// The line of the next byte, counted from 1.
    line: usize,
}

/// The cells of a record.
#[derive(Default)]
pub(crate) struct Record {
    text: String,
    /// Where each cell ends, and whether it was quoted.
    ends: Vec<(usize, bool)>,
    /// The line where it begins.
    pub(crate) line: usize,
}

impl Record {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The cells, each with whether it was quoted.
    pub(crate) fn cells(&self) -> impl Iterator<Item = (&str, bool)> {
        let starts = [0].into_iter().chain(self.ends.iter().map(|(end, _)| *end));
        starts.zip(&self.ends).map(|(start, (end, quoted))| (&self.text[start..*end], *quoted))
    }
}

#[derive(PartialEq)]
enum State {
    Start,
    Plain,
    Quoted,
    /// Behind a quote inside of a quoted cell.
    Quote,
}

impl Records {
    pub(crate) fn new(path: &Path, reader: Box<dyn BufRead + Send>, delimiter: u8) -> Self {
        Self { path: path.to_path_buf(), reader, delimiter, line: 1 }
    }

    /// The delimiter that the first line shows, and whether it says so itself (`sep=;`), as Excel writes it.
    pub(crate) fn sniff(&mut self) -> Result<(u8, bool), Box<Bad>> {
        let delimiter = self.delimiter;
        let bytes = self.reader.fill_buf().map_err(|error| Bad::end(unreadable(&self.path, 1, error)))?;
        let first = bytes.split(|byte| *byte == b'\n' || *byte == b'\r').next().unwrap_or_default();
        if let [b's', b'e', b'p', b'=', found] = first
            && found.is_ascii()
        {
            self.delimiter = *found;
            self.record(&mut Record::default())?;
            return Ok((self.delimiter, true));
        }
        let mut quoted = false;
        let bare: Vec<u8> = first
            .iter()
            .copied()
            .filter(|byte| {
                quoted ^= *byte == b'"';
                !quoted
            })
            .collect();
        if delimiter == b',' && !bare.contains(&b',') {
            self.delimiter = b";\t".iter().copied().find(|other| bare.contains(other)).unwrap_or(b',');
        }
        Ok((self.delimiter, false))
    }

    /// Reads the next record; false at the end of the file.
    pub(crate) fn record(&mut self, record: &mut Record) -> Result<bool, Box<Bad>> {
        let mut bytes = std::mem::take(&mut record.text).into_bytes();
        loop {
            bytes.clear();
            record.ends.clear();
            record.line = self.line;
            let more = self.bytes(&mut bytes, record)?;
            if !more && bytes.is_empty() && record.ends.is_empty() {
                return Ok(false);
            }
            // A line without a character is no row; one with a quoted nothing is.
            if record.ends.len() > 1 || !bytes.is_empty() || record.ends.first().is_some_and(|(_, quoted)| *quoted) {
                break;
            }
            if !more {
                return Ok(false);
            }
        }
        let bad = |error| Bad::row(not_utf8(&self.path, record.line, error));
        let text = String::from_utf8(bytes).map_err(|error| bad(error.utf8_error()))?;
        // Two halves of a character on both sides of a delimiter are none.
        if let Some((end, _)) = record.ends.iter().find(|(end, _)| !text.is_char_boundary(*end)) {
            std::str::from_utf8(&text.as_bytes()[..*end]).map_err(bad)?;
        }
        record.text = text;
        Ok(true)
    }

    /// The bytes of a record; false where the file ends behind it.
    fn bytes(&mut self, bytes: &mut Vec<u8>, record: &mut Record) -> Result<bool, Box<Bad>> {
        let (mut state, mut quoted, mut any, mut return_before) = (State::Start, false, false, false);
        loop {
            let block = self.reader.fill_buf().map_err(|error| Bad::end(unreadable(&self.path, self.line, error)))?;
            if block.is_empty() {
                if state == State::Quoted {
                    return Err(Bad::end(self.wrong(record.line, "a quote is opened here and never closed".to_string())));
                }
                if any {
                    record.ends.push((bytes.len(), quoted));
                }
                return Ok(false);
            }
            let (mut used, mut done, mut odd) = (0, false, None);
            for &byte in block {
                used += 1;
                any = true;
                if return_before && byte != b'\n' && state != State::Quoted {
                    // It belongs to the next record.
                    (used, done) = (used - 1, true);
                    break;
                }
                match (&state, byte) {
                    (State::Quoted, b'"') => state = State::Quote,
                    (State::Quoted, byte) => {
                        self.line += usize::from(byte == b'\n');
                        bytes.push(byte);
                    }
                    (State::Quote, b'"') => {
                        bytes.push(b'"');
                        state = State::Quoted;
                    }
                    (State::Start, b'"') => (state, quoted) = (State::Quoted, true),
                    (_, b'\n') => done = true,
                    (_, b'\r') => {
                        return_before = true;
                        continue;
                    }
                    (_, byte) if byte == self.delimiter => {
                        record.ends.push((bytes.len(), quoted));
                        (state, quoted) = (State::Start, false);
                    }
                    (State::Quote, byte) => odd = Some(byte),
                    (_, byte) => {
                        bytes.push(byte);
                        state = State::Plain;
                    }
                }
                if done || odd.is_some() {
                    break;
                }
            }
            self.reader.consume(used);
            // Commas alone have no bytes to count.
            if record.ends.len() > FIELDS {
                return Err(Bad::end(self.wrong(record.line, format!("more than {FIELDS} cells in a row"))));
            }
            if let Some(byte) = odd {
                let found = if byte.is_ascii() { char::from(byte).escape_debug().to_string() } else { "…".to_string() };
                return Err(Bad::end(
                    self.wrong(self.line, format!("cell {}: `{found}` follows the closing quote", record.ends.len() + 1)),
                ));
            }
            if done {
                self.line += 1;
                record.ends.push((bytes.len(), quoted));
                return Ok(true);
            }
            if bytes.len() > LONGEST_LINE {
                return Err(Bad::end(too_long(&self.path, record.line)));
            }
        }
    }

    fn wrong(&self, line: usize, what: String) -> Error {
        Error::new(ErrorKind::Data, format!("{}:{line}: {what}", self.path.display()))
            .hint("a cell in quotes ends with a quote, and a quote inside is written twice: `\"5\"\" disk\"`")
            .in_file(&self.path)
            .in_row(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line, and its cells with whether they were quoted.
    type Found = (usize, Vec<(String, bool)>);

    fn read(text: &str) -> Result<Vec<Found>, Error> {
        let mut records =
            Records::new(Path::new("x.csv"), Box::new(std::io::BufReader::with_capacity(3, std::io::Cursor::new(text.to_string()))), b',');
        let (mut record, mut found) = (Record::default(), Vec::new());
        while records.record(&mut record).map_err(|bad| bad.error)? {
            found.push((record.line, record.cells().map(|(text, quoted)| (text.to_string(), quoted)).collect()));
        }
        Ok(found)
    }

    #[test]
    fn records_are_cells_with_their_quotes() {
        let plain = |texts: &[&str]| texts.iter().map(|text| (text.to_string(), false)).collect::<Vec<_>>();
        assert_eq!(read("a,b\n1,2").unwrap(), [(1, plain(&["a", "b"])), (2, plain(&["1", "2"]))]);
        assert_eq!(read("a,b\r\n\r\n1,\r\n").unwrap(), [(1, plain(&["a", "b"])), (3, plain(&["1", ""]))]);
        assert_eq!(read("a\r1\r2").unwrap(), [(1, plain(&["a"])), (2, plain(&["1"])), (3, plain(&["2"]))]);
        let quoted = vec![("x\ny, \"z\"".to_string(), true), (String::new(), true), ("5\" disk".to_string(), false)];
        assert_eq!(read("\"x\ny, \"\"z\"\"\",\"\",5\" disk\nlast").unwrap(), [(1, quoted), (3, plain(&["last"]))]);
        assert_eq!(read("").unwrap(), []);
        assert_eq!(read("a\n\"\"\n").unwrap()[1], (2, vec![(String::new(), true)]));
        assert!(read("a\n\"b\nc").unwrap_err().to_string().contains("x.csv:2: a quote is opened here"));
        assert!(read("a\n\"b\"c").unwrap_err().to_string().contains("x.csv:2: cell 1: `c` follows"));
    }
}
