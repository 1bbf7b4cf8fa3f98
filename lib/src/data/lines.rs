//! Bytes → blocks of whole lines, of which the longest has a limit.

use std::io::Read;
use std::path::Path;

use crate::border::limits;
use crate::data::bad::Bad;
use crate::error::{Error, ErrorKind};

/// The longest line, record or value that is read, in bytes.
pub(crate) const LONGEST_LINE: usize = limits::LINE;
/// The first block is small, so that the first rows come at once; each is four times as large as the one before.
const FIRST_BLOCK: usize = 64 << 10;
const LARGEST_BLOCK: usize = 4 << 20;

/// Reads blocks of lines.
pub(crate) struct Lines {
    reader: Box<dyn Read + Send>,
    /// A block, and behind it what was read of the next.
    bytes: Vec<u8>,
    /// Where the block ends that was given out.
    given: usize,
    wanted: usize,
    /// The end of a line: `\n`, or `\r` in a file that has no other.
    end: u8,
    /// How many lines were given out.
    pub(crate) line: usize,
    ended: bool,
}

impl Lines {
    pub(crate) fn new(reader: Box<dyn Read + Send>) -> Self {
        Self { reader, bytes: Vec::new(), given: 0, wanted: FIRST_BLOCK, end: 0, line: 0, ended: false }
    }

    /// The next block, which ends with a line's end or the file's; nothing at the end of the file.
    pub(crate) fn block(&mut self, path: &Path) -> Result<Option<(&[u8], u8)>, Box<Bad>> {
        let kept = self.bytes.len() - self.given;
        self.bytes.copy_within(self.given.., 0);
        self.bytes.truncate(kept);
        if self.bytes.capacity() > 4 * LARGEST_BLOCK && kept < LARGEST_BLOCK {
            self.bytes.shrink_to(LARGEST_BLOCK);
        }
        self.given = 0;
        let mut searched = 0;
        while !self.ended {
            let start = self.bytes.len();
            // Read inside of the limit, whatever the file says about its size.
            let step = self.wanted.saturating_sub(kept).max(FIRST_BLOCK).max(start / 2);
            let more = (&mut self.reader).take(step as u64).read_to_end(&mut self.bytes);
            let read = more.map_err(|error| Bad::end(unreadable(path, self.line + 1, error)))?;
            self.ended = read == 0;
            if self.end == 0 && !self.bytes.is_empty() {
                // A `\r` in the last place may be followed by `\n`.
                let last = self.bytes.len() - usize::from(!self.ended);
                if self.bytes.contains(&b'\n') {
                    self.end = b'\n';
                } else if self.bytes[..last].contains(&b'\r') {
                    self.end = b'\r';
                }
            }
            if let Some(at) = self.bytes[searched.min(start)..].iter().rposition(|byte| *byte == self.end && self.end != 0) {
                self.given = searched.min(start) + at + 1;
                break;
            }
            searched = self.bytes.len();
            if self.bytes.len() > LONGEST_LINE {
                return Err(Bad::end(too_long(path, self.line + 1)));
            }
        }
        if self.given == 0 {
            self.given = self.bytes.len();
        }
        self.wanted = (self.wanted * 4).min(LARGEST_BLOCK);
        let end = if self.end == 0 { b'\n' } else { self.end };
        Ok((self.given > 0).then(|| (&self.bytes[..self.given], end)))
    }
}

/// The error of a file that cannot be read to its end.
pub(crate) fn unreadable(path: &Path, line: usize, error: std::io::Error) -> Error {
    let cut = error.kind() == std::io::ErrorKind::UnexpectedEof;
    let what = if cut { "the file is cut off: its packed content has no end".to_string() } else { error.to_string() };
    Error::new(ErrorKind::Data, format!("{}:{line}: {what}", path.display()))
        .hint(if cut { "fetch or pack the file again" } else { "the file is damaged or the disk fails: fetch it again" })
        .in_file(path)
        .in_row(line)
        .because(error)
}

/// The error of a line beyond the limit.
pub(crate) fn too_long(path: &Path, line: usize) -> Error {
    Error::new(ErrorKind::Data, format!("{}:{line}: longer than {} MiB, the longest that is read", path.display(), LONGEST_LINE >> 20))
        .hint("write one row a line; a file that is one value has to be split")
        .in_file(path)
        .in_row(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(bytes: Vec<u8>) -> (Vec<u8>, usize, u8) {
        let mut lines = Lines::new(Box::new(std::io::Cursor::new(bytes)));
        let (mut all, mut count, mut end) = (Vec::new(), 0, 0);
        while let Some((block, found)) = lines.block(Path::new("x")).unwrap() {
            assert!(!block.is_empty());
            all.extend_from_slice(block);
            (count, end) = (count + 1, found);
        }
        (all, count, end)
    }

    #[test]
    fn blocks_are_the_file() {
        let long = "x".repeat(300_000);
        let text: String = (0..50_000).map(|index| format!("{index} {}\n", if index == 20_000 { &long } else { "y" })).collect();
        let (all, count, end) = blocks(text.clone().into_bytes());
        assert!(all == text.as_bytes() && count > 2 && end == b'\n');
        for (text, end) in [("", 0), ("a", b'\n'), ("a\rb\r", b'\r'), ("a\r\nb", b'\n'), ("\n\n", b'\n')] {
            let (all, _, found) = blocks(text.into());
            assert_eq!((all, found), (text.as_bytes().to_vec(), end), "{text:?}");
        }
        // Only lines of old Macs, longer than a block.
        let old = format!("{}\rb", "a".repeat(200_000));
        assert_eq!(blocks(old.clone().into_bytes()), (old.into_bytes(), 2, b'\r'));
    }
}
