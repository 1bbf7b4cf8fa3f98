//! Raw output bytes of the cell process → text, records and evcxr's tokens, wherever in a line they begin.
//!
//! Three things are told apart: a record `\x02K{json}\n`, an error text `\x02X…\x03` (both written by the kernel's own
//! parts and the companion crate), and the tokens of evcxr's generated code, `EVCXR_…\n`. All else is text of the user.
//! evcxr compares whole lines, so that a `print!` without a newline hides its token and the kernel waits for ever;
//! here the text in front of a token is split off.

use serde_json::json;

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub enum Mark {
    /// Output of the user's code.
    Text(String),
    /// The JSON of a record.
    Record(String),
    /// A line for evcxr, passed on as it is.
    Token(String),
}

const RECORD: &[u8] = b"\x02K";
const ERROR: &[u8] = b"\x02X";
const TOKEN: &[u8] = b"EVCXR_";
/// The lines that evcxr's generated code prints; the end of a cell is told by a record instead.
const TOKENS: [&str; 5] = ["PANIC_NOTIFICATION", "ERROR_OCCURRED", "VARIABLE_CHANGED_TYPE:", "INPUT_REQUEST", "BEGIN_CONTENT "];

/// The state between two reads.
#[derive(Default)]
pub struct Scanner {
    rest: Vec<u8>,
    in_content: bool,
}

impl Scanner {
    /// Takes the next bytes; a tail that may be the beginning of a mark is kept.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Mark> {
        self.rest.extend_from_slice(bytes);
        let mut found = Vec::new();
        while self.next(&mut found) {}
        found
    }

    /// Whether bytes are kept that [`Scanner::give_up`] would return.
    pub fn waits(&self) -> bool {
        !self.rest.is_empty() && !self.in_content
    }

    /// The kept tail as text, for when nothing follows.
    pub fn give_up(&mut self) -> Vec<Mark> {
        let tail = String::from_utf8_lossy(&std::mem::take(&mut self.rest)).into_owned();
        if tail.is_empty() { Vec::new() } else { vec![Mark::Text(tail)] }
    }

    /// Takes one mark from the front; false when more bytes are needed.
    fn next(&mut self, found: &mut Vec<Mark>) -> bool {
        if self.in_content {
            let Some(line) = self.take_line(0) else { return false };
            self.in_content = !line.starts_with("EVCXR_END_CONTENT");
            found.push(Mark::Token(line));
            return true;
        }
        let start = [RECORD, ERROR, TOKEN].iter().filter_map(|mark| find(&self.rest, mark)).min();
        let text_end = start.unwrap_or_else(|| self.rest.len() - open_tail(&self.rest));
        self.take_text(text_end, found);
        if start.is_none() || self.rest.is_empty() {
            return false;
        }
        if self.rest.starts_with(ERROR) {
            let Some(end) = find(&self.rest, b"\x03") else { return false };
            let text = String::from_utf8_lossy(&self.rest[2..end]).into_owned();
            self.rest.drain(..=end);
            found.push(Mark::Record(json!({ "error": text }).to_string()));
            return true;
        }
        if self.rest.starts_with(RECORD) {
            let Some(line) = self.take_line(2) else { return false };
            found.push(Mark::Record(line));
            return true;
        }
        let tail = &self.rest[TOKEN.len()..];
        if TOKENS.iter().any(|name| tail.starts_with(name.as_bytes())) {
            let Some(line) = self.take_line(0) else { return false };
            self.in_content = line.starts_with("EVCXR_BEGIN_CONTENT ");
            found.push(Mark::Token(line));
            return true;
        }
        if TOKENS.iter().any(|name| name.as_bytes().starts_with(tail)) {
            return false;
        }
        self.take_text(TOKEN.len(), found);
        true
    }

    fn take_text(&mut self, end: usize, found: &mut Vec<Mark>) {
        if end > 0 {
            let text = String::from_utf8_lossy(&self.rest[..end]).into_owned();
            self.rest.drain(..end);
            match found.last_mut() {
                Some(Mark::Text(last)) => last.push_str(&text),
                _ => found.push(Mark::Text(text)),
            }
        }
    }

    /// The first line without its newline and without `skip` bytes at its front.
    fn take_line(&mut self, skip: usize) -> Option<String> {
        let end = find(&self.rest, b"\n")?;
        let line = String::from_utf8_lossy(&self.rest[skip..end]).into_owned();
        self.rest.drain(..=end);
        Some(line)
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// How many bytes at the end may be the beginning of a mark or of a character.
fn open_tail(bytes: &[u8]) -> usize {
    let mark = [RECORD, TOKEN].iter().flat_map(|mark| (1..mark.len()).filter(|&n| bytes.ends_with(&mark[..n]))).max().unwrap_or(0);
    let character = (1..=3.min(bytes.len())).find(|&n| bytes[bytes.len() - n] & 0xC0 != 0x80).filter(|&n| {
        let first = bytes[bytes.len() - n];
        n < match first {
            0xC0..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0.. => 4,
            _ => 1,
        }
    });
    mark.max(character.unwrap_or(0))
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

    fn text(text: &str) -> Mark {
        Mark::Text(text.into())
    }

    #[test]
    fn a_token_after_text_without_a_newline_is_found() {
        let mut scanner = Scanner::default();
        assert_eq!(scanner.push(b"50%EVCXR_PANIC_NOTIFICATION\n"), [text("50%"), Mark::Token("EVCXR_PANIC_NOTIFICATION".into())]);
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
            for mark in scanner.push(&whole.as_bytes()[split..]) {
                match (found.last_mut(), mark) {
                    (Some(Mark::Text(last)), Mark::Text(next)) => last.push_str(&next),
                    (_, mark) => found.push(mark),
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
        assert!(scanner.waits());
        assert_eq!(scanner.give_up(), [text("EV")]);
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
