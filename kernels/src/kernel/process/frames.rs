//! Raw output bytes of the cell process → text, records and evcxr's tokens, wherever in a line they begin.
//!
//! Three things are told apart: a record `\x02K{json}\n`, an error text `\x02X…\x03` (both written by the kernel's own
//! parts and the companion crate), and the tokens of evcxr's generated code, `EVCXR_…\n`. All else is text of the user.
//! evcxr compares whole lines, so that a `print!` without a newline hides its token and the kernel waits for ever;
//! here the text in front of a token is split off.

use serde_json::json;

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub enum ControlFrame {
    /// Output of the user's code.
    Text(String),
    /// The JSON of a record.
    Record(String),
    /// A line for evcxr, passed on as it is.
    Token(String),
}

/// Begins a line of standard output, escaped.
pub const OUT: &str = "\x02O";
/// Begins a line of standard error, escaped.
pub const ERR: &str = "\x02E";
/// Begins a record, one line of JSON.
pub const RECORD: &str = "\x02K";
/// The runner begins and has ended a cell.
pub const RUN: &str = "\x02K{\"run\":true}";
pub const DONE: &str = "\x02K{\"done\":true}";
/// The cell panicked, or its `?` returned an error.
pub const PANICKED: &str = "\x02K{\"panicked\":true}";
pub const FAILED: &str = "\x02K{\"failed\":true}";
/// The line in the place of an answer that makes the cell's reading of its standard input fail.
pub const REFUSED: &str = "\x02REFUSED";

const ERROR: &[u8] = b"\x02X";
const TOKEN: &[u8] = b"EVCXR_";
/// The lines that evcxr's generated code prints; the end of a cell is told by a record instead.
const TOKENS: [&str; 5] = ["PANIC_NOTIFICATION", "ERROR_OCCURRED", "VARIABLE_CHANGED_TYPE:", "INPUT_REQUEST", "BEGIN_CONTENT "];

/// Where a frame begins that is no line of evcxr's.
const FRAMES: [&[u8]; 3] = [RECORD.as_bytes(), ERROR, TOKEN];
/// How long bytes wait that look like the beginning of a frame, in milliseconds.
const HOLD: i32 = 20;
/// How long a record waits whose end has not come, in milliseconds: a large one is written in pieces.
const HOLD_RECORD: i32 = 2000;
/// A record of more bytes is none.
const LONGEST: usize = 256 << 20;

/// The state between two reads; every byte is looked at once.
#[derive(Default)]
pub struct Scanner {
    rest: Vec<u8>,
    /// The bytes before it are taken already.
    front: usize,
    /// No end of the frame at the front lies before it.
    seen: usize,
    in_content: bool,
}

impl Scanner {
    /// Takes the next bytes; a tail that may be the beginning of a frame is kept.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<ControlFrame> {
        self.rest.drain(..self.front);
        (self.front, self.seen) = (0, self.seen - self.front.min(self.seen));
        self.rest.extend_from_slice(bytes);
        let mut found = Vec::new();
        while self.next(&mut found) {}
        if self.open().len() > LONGEST {
            found.extend(self.give_up());
        }
        found
    }

    /// How long bytes that are kept wait for more, in milliseconds, before [`Scanner::give_up`] shall return them.
    pub fn patience(&self) -> Option<i32> {
        let open = self.open();
        let begun = open.starts_with(b"\x02K{") || open.starts_with(ERROR);
        (!open.is_empty() && !self.in_content).then_some(if begun { HOLD_RECORD } else { HOLD })
    }

    /// The kept tail as text, for when nothing follows.
    pub fn give_up(&mut self) -> Vec<ControlFrame> {
        let mut found = Vec::new();
        self.take_text(self.open().len(), &mut found);
        found
    }

    /// The bytes that are not taken yet.
    fn open(&self) -> &[u8] {
        &self.rest[self.front..]
    }

    /// Takes one frame from the front; false when more bytes are needed.
    fn next(&mut self, found: &mut Vec<ControlFrame>) -> bool {
        if self.in_content {
            let Some(line) = self.take(0, b'\n') else { return false };
            self.in_content = !line.starts_with("EVCXR_END_CONTENT");
            found.push(ControlFrame::Token(line));
            return true;
        }
        // What was looked through already is an open frame.
        if self.seen <= self.front {
            let start = first_frame(self.open());
            let text_end = start.unwrap_or_else(|| self.open().len() - open_tail(self.open()));
            self.take_text(text_end, found);
            if start.is_none() || self.open().is_empty() {
                return false;
            }
        }
        if self.open().starts_with(ERROR) {
            let Some(text) = self.take(2, b'\x03') else { return false };
            found.push(ControlFrame::Record(json!({ "error": text }).to_string()));
            return true;
        }
        if self.open().starts_with(RECORD.as_bytes()) {
            let Some(line) = self.take(2, b'\n') else { return false };
            found.push(ControlFrame::Record(line));
            return true;
        }
        let tail = &self.open()[TOKEN.len()..];
        if TOKENS.iter().any(|name| tail.starts_with(name.as_bytes())) {
            let Some(line) = self.take(0, b'\n') else { return false };
            self.in_content = line.starts_with("EVCXR_BEGIN_CONTENT ");
            found.push(ControlFrame::Token(line));
            return true;
        }
        if TOKENS.iter().any(|name| name.as_bytes().starts_with(tail)) {
            return false;
        }
        self.take_text(TOKEN.len(), found);
        true
    }

    fn take_text(&mut self, length: usize, found: &mut Vec<ControlFrame>) {
        if length > 0 {
            let text = String::from_utf8_lossy(&self.open()[..length]).into_owned();
            self.front += length;
            match found.last_mut() {
                Some(ControlFrame::Text(last)) => last.push_str(&text),
                _ => found.push(ControlFrame::Text(text)),
            }
        }
    }

    /// What comes before the first byte `end`, without `skip` bytes at its front.
    fn take(&mut self, skip: usize, end: u8) -> Option<String> {
        let from = self.seen.max(self.front);
        let Some(length) = self.rest[from..].iter().position(|byte| *byte == end) else {
            self.seen = self.rest.len();
            return None;
        };
        let text = String::from_utf8_lossy(&self.rest[self.front + skip..from + length]).into_owned();
        self.front = from + length + 1;
        Some(text)
    }
}

fn first_frame(bytes: &[u8]) -> Option<usize> {
    let may_begin = |byte: u8| byte == ERROR[0] || byte == TOKEN[0];
    bytes
        .iter()
        .enumerate()
        .filter(|(_, byte)| may_begin(**byte))
        .map(|(place, _)| place)
        .find(|place| FRAMES.iter().any(|frame| bytes[*place..].starts_with(frame)))
}

/// How many bytes at the end may be the beginning of a frame or of a character.
fn open_tail(bytes: &[u8]) -> usize {
    let frame =
        [RECORD.as_bytes(), TOKEN].iter().flat_map(|frame| (1..frame.len()).filter(|&n| bytes.ends_with(&frame[..n]))).max().unwrap_or(0);
    frame.max(open_character(bytes))
}

/// How many bytes at the end are the beginning of a character whose end is missing.
pub fn open_character(bytes: &[u8]) -> usize {
    let character = (1..=3.min(bytes.len())).find(|&n| bytes[bytes.len() - n] & 0xC0 != 0x80).filter(|&n| {
        let first = bytes[bytes.len() - n];
        n < match first {
            0xC0..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0.. => 4,
            _ => 1,
        }
    });
    character.unwrap_or(0)
}

/// Text as one line, so that it passes evcxr's reading by lines unchanged.
pub fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r").replace("EVCXR_", "EVCXR\\_")
}

/// The text that [`escape`] was given.
pub fn unescape(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(char) = chars.next() {
        match (char, char == '\\') {
            (_, false) => text.push(char),
            _ => match chars.next() {
                Some('n') => text.push('\n'),
                Some('r') => text.push('\r'),
                Some(other) => text.push(other),
                None => text.push('\\'),
            },
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> ControlFrame {
        ControlFrame::Text(text.into())
    }

    #[test]
    fn a_token_after_text_without_a_newline_is_found() {
        let mut scanner = Scanner::default();
        assert_eq!(scanner.push(b"50%EVCXR_PANIC_NOTIFICATION\n"), [text("50%"), ControlFrame::Token("EVCXR_PANIC_NOTIFICATION".into())]);
    }

    #[test]
    fn marks_are_found_at_every_split() {
        let whole =
            "a é\x02K{\"run\":true}\nb\x02Xno\nfile\x03EVCXR_ERROR_OCCURRED\nEVCXR_BEGIN_CONTENT text/plain\nx é\nEVCXR_END_CONTENT\nend\n";
        let expected = Scanner::default().push(whole.as_bytes());
        assert_eq!(expected.len(), 9);
        for split in 0..whole.len() {
            let mut scanner = Scanner::default();
            let mut found = scanner.push(&whole.as_bytes()[..split]);
            for frame in scanner.push(&whole.as_bytes()[split..]) {
                match (found.last_mut(), frame) {
                    (Some(ControlFrame::Text(last)), ControlFrame::Text(next)) => last.push_str(&next),
                    (_, frame) => found.push(frame),
                }
            }
            assert_eq!(found, expected, "split at {split}");
        }
    }

    #[test]
    fn what_only_looks_like_a_mark_is_text() {
        let mut scanner = Scanner::default();
        assert_eq!(scanner.push(b"EVCXR_EXECUTION_COMPLETE\n"), [text("EVCXR_EXECUTION_COMPLETE\n")]);
        assert_eq!(scanner.push(b"loss EV"), [text("loss ")]);
        assert_eq!(scanner.patience(), Some(HOLD));
        assert_eq!(scanner.give_up(), [text("EV")]);
    }

    #[test]
    fn the_beginning_of_a_record_waits_for_its_end() {
        let mut scanner = Scanner::default();
        assert_eq!(scanner.push(b"a\x02K{\"display\":"), [text("a")]);
        assert_eq!(scanner.patience(), Some(HOLD_RECORD));
        assert_eq!(scanner.push(b"1}\nb"), [ControlFrame::Record("{\"display\":1}".into()), text("b")]);
        assert_eq!(scanner.patience(), None);
        // No record after all.
        assert_eq!(scanner.push(b"\x02K{\"display"), []);
        assert_eq!(scanner.give_up(), [text("\x02K{\"display")]);
        assert_eq!(scanner.push(b"c"), [text("c")]);
    }

    #[test]
    fn every_byte_of_a_long_record_is_looked_at_once() {
        let record = format!("\x02K{{\"{}\":1}}\n", "x".repeat(1 << 20));
        let (mut scanner, mut count) = (Scanner::default(), 0);
        for piece in record.as_bytes().chunks(4096) {
            let found = scanner.push(piece);
            count += piece.len();
            if count == record.len() {
                assert!(matches!(&found[..], [ControlFrame::Record(text)] if text.len() == record.len() - 3), "{}", found.len());
            } else {
                assert_eq!(found, []);
                // What was looked at is made to look like an end: whoever looks again would find one.
                scanner.rest[3..count].fill(b'\n');
            }
        }
    }

    #[test]
    fn escaped_text_is_one_line_without_tokens() {
        for text in ["a\nb\r\\n", "EVCXR_BEGIN_CONTENT x", "é\\", ""] {
            let line = escape(text);
            assert!(!line.contains('\n') && !line.contains("EVCXR_"));
            assert_eq!(unescape(&line), text);
        }
    }
}
