//! Raw output bytes of the cell process → text, and what the kernel's own parts say in between, wherever in a line it begins.
//!
//! A mark is one line, `\x02K`, the secret of the session, and what is said: a record `{json}`, `X` with the text of an error,
//! `C` with a kind and a content, `T` with a token of evcxr's, `S` with what a thread of an earlier cell prints, `B` or `E` where
//! the display of a result begins or ends. Who only prints does not know the secret, so all else is text of the user, whatever it looks like. Two more are known by
//! their place: evcxr's content block, whose first word in a cell is exchanged for a secret one before it is compiled
//! and which a library may print while a result is displayed, and evcxr's question, which is none until the cell waits.

use std::path::PathBuf;

use serde_json::json;

use crate::kernel::marks::{BEGIN, Marks, RECORD};
use crate::kernel::process::lines::unescape;

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub enum ControlFrame {
    /// Output of the user's code.
    Text(String),
    /// The JSON of a record.
    Record(String),
    /// A line for evcxr, passed on as it is.
    Token(String),
    /// A kind and a content of it, the result of the cell.
    Content(String, String),
    /// A line that is a question if the cell waits for its input after it, and text otherwise.
    Question(String),
}

/// The runner begins and has ended a cell.
pub const RUN: &str = "{\"run\":true}";
pub const DONE: &str = "{\"done\":true}";
/// The thread of the cell stands still for ever, which is a panic for evcxr.
pub const STOPPED: &str = "{\"stopped\":true}";
pub const PANIC: &str = "TEVCXR_PANIC_NOTIFICATION";
/// The last line of evcxr's content block.
const END: &[u8] = b"\nEVCXR_END_CONTENT\n";
/// The first word of evcxr's question.
const QUESTION: &str = "EVCXR_INPUT_REQUEST";
/// The lines that evcxr's generated code prints; the end of a cell is told by a record instead.
const TOKENS: [&str; 3] = ["EVCXR_PANIC_NOTIFICATION", "EVCXR_ERROR_OCCURRED", "EVCXR_VARIABLE_CHANGED_TYPE:"];

/// How long bytes wait that look like the beginning of a frame, in milliseconds.
const HOLD: i32 = 20;
/// How long half a mark waits for its end, in milliseconds: the process may have to wait for its turn.
const HOLD_MARK: i32 = 2000;
/// A frame of more bytes is none.
const LONGEST: usize = 256 << 20;

/// The state between two reads; every byte is looked at once.
pub struct Scanner {
    prefix: Vec<u8>,
    word: Vec<u8>,
    rest: Vec<u8>,
    /// The bytes before it are taken already.
    front: usize,
    /// No end of the frame at the front lies before it.
    seen: usize,
    /// Whether a result is displayed: a library's content block counts.
    displays: bool,
    /// The file that is there as soon as cells of the user run.
    begun: PathBuf,
}

/// What may begin a frame, and what it may turn out to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    Mark,
    Content,
    Question,
}

impl Scanner {
    /// A scanner for the outputs of a session.
    pub fn new(marks: &Marks) -> Scanner {
        let (prefix, word) = (marks.prefix().into_bytes(), marks.word().as_bytes().to_vec());
        Scanner { prefix, word, rest: Vec::new(), front: 0, seen: 0, displays: false, begun: marks.begun().into() }
    }

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

    /// How long bytes that are kept wait for more, in milliseconds, before [`Scanner::give_up`] shall return them; for ever when
    /// there are none, and when they are a block or a mark whose end has not come.
    pub fn patience(&self) -> Option<i32> {
        let open = self.open();
        match self.start_at(0) {
            _ if open.is_empty() => None,
            Some((Start::Mark | Start::Content, _)) => None,
            Some((Start::Question, _)) => Some(HOLD),
            None if open.starts_with(RECORD.as_bytes()) => Some(HOLD_MARK),
            None => Some(HOLD),
        }
    }

    /// The kept tail as text, for when nothing follows.
    pub fn give_up(&mut self) -> Vec<ControlFrame> {
        let word = String::from_utf8_lossy(&self.word);
        let text = String::from_utf8_lossy(self.open()).replace(&*word, BEGIN);
        (self.front, self.seen) = (self.rest.len(), 0);
        if text.is_empty() { Vec::new() } else { vec![ControlFrame::Text(text)] }
    }

    /// The bytes that are not taken yet.
    fn open(&self) -> &[u8] {
        &self.rest[self.front..]
    }

    /// What begins at a place of the bytes that are not taken, and the length of its first word.
    fn start_at(&self, place: usize) -> Option<(Start, usize)> {
        let bytes = &self.open()[place..];
        let starts = |word: &[u8]| bytes.starts_with(word).then_some(word.len());
        let library = || starts(BEGIN.as_bytes()).filter(|_| self.displays);
        let content = || starts(&self.word).or_else(library).map(|length| (Start::Content, length));
        let question = || starts(QUESTION.as_bytes()).map(|length| (Start::Question, length));
        starts(&self.prefix).map(|length| (Start::Mark, length)).or_else(content).or_else(question)
    }

    /// Takes one frame from the front; false when more bytes are needed.
    fn next(&mut self, found: &mut Vec<ControlFrame>) -> bool {
        // What was looked through already is an open frame.
        if self.seen <= self.front {
            let first = [self.prefix[0], self.word[0], b'E'];
            let may_begin = |(place, byte): (usize, &u8)| first.contains(byte).then_some(place);
            let start = self.open().iter().enumerate().filter_map(may_begin).find(|place| self.start_at(*place).is_some());
            let text_end = start.unwrap_or_else(|| self.open().len() - self.open_tail());
            self.take_text(text_end, found);
            if start.is_none() || self.open().is_empty() {
                return false;
            }
        }
        let (start, skip) = self.start_at(0).expect("a frame begins here");
        let Some(taken) = self.take(skip, if start == Start::Content { END } else { b"\n" }) else { return false };
        match (start, taken) {
            // Two threads wrote at once.
            (Start::Mark, None) => (self.front, self.seen) = (self.front + skip, 0),
            (Start::Mark, Some(said)) => found.extend(self.said(&said)),
            (Start::Question, None) => {
                add(QUESTION, found);
                (self.front, self.seen) = (self.front + skip, 0);
            }
            (Start::Question, Some(line)) => found.push(ControlFrame::Question(QUESTION.to_string() + &line)),
            (Start::Content, block) => {
                let parts =
                    block.as_deref().and_then(|block| block.strip_prefix(' ')).map(|block| block.split_once('\n').unwrap_or((block, "")));
                match parts.filter(|(kind, _)| !kind.is_empty() && !kind.contains(char::is_whitespace)) {
                    Some((kind, content)) => found.push(ControlFrame::Content(kind.into(), content.into())),
                    None => {
                        add(BEGIN, found);
                        match block {
                            Some(block) => add(&(block + "\nEVCXR_END_CONTENT\n"), found),
                            None => (self.front, self.seen) = (self.front + skip, 0),
                        }
                    }
                }
            }
        }
        true
    }

    /// What a mark says.
    fn said(&mut self, said: &str) -> Option<ControlFrame> {
        // A text of the cell that has the word is no block.
        let said = &*said.replace(&*String::from_utf8_lossy(&self.word), BEGIN);
        let (kind, text) = said.split_at_checked(1)?;
        match kind {
            "{" => {
                match said {
                    // Before the session begins, evcxr tries itself, and knows of no marks.
                    RUN => self.displays = !self.begun.exists(),
                    // A display that panicked has no end of its own.
                    DONE => self.displays = false,
                    _ => {}
                }
                Some(ControlFrame::Record(said.into()))
            }
            "X" => Some(ControlFrame::Record(json!({ "error": unescape(text) }).to_string())),
            "S" => {
                let (cell, rest) = text.split_once(' ')?;
                let (name, text) = rest.split_once(' ')?;
                Some(ControlFrame::Record(json!({ "old": { "cell": cell, "name": name, "text": unescape(text) } }).to_string()))
            }
            "C" => text.split_once(' ').map(|(kind, content)| ControlFrame::Content(kind.into(), unescape(content))),
            "T" => TOKENS.iter().any(|token| text.starts_with(token)).then(|| ControlFrame::Token(text.into())),
            _ => {
                self.displays = kind == "B";
                None
            }
        }
    }

    fn take_text(&mut self, length: usize, found: &mut Vec<ControlFrame>) {
        if length > 0 {
            add(&String::from_utf8_lossy(&self.open()[..length]), found);
            self.front += length;
        }
    }

    /// What comes before the first `end`, without `skip` bytes at its front; nothing when more bytes are needed, and `Some(None)`
    /// when a mark comes before it: whatever it says, be it that the cell has ended, this frame has no end.
    fn take(&mut self, skip: usize, end: &[u8]) -> Option<Option<String>> {
        let from = self.seen.max(self.front + skip);
        let place = |word: &[u8]| self.rest[from..].windows(word.len()).position(|bytes| bytes == word).map(|place| from + place);
        match (place(end), place(&self.prefix)) {
            (Some(end_at), mark_at) if mark_at.is_none_or(|mark_at| end_at < mark_at) => {
                let text = String::from_utf8_lossy(&self.rest[self.front + skip..end_at]).into_owned();
                (self.front, self.seen) = (end_at + end.len(), 0);
                Some(Some(text))
            }
            (_, Some(_)) => Some(None),
            _ => {
                // The last bytes may be the beginning of either.
                let longest = end.len().max(self.prefix.len());
                self.seen = self.rest.len().saturating_sub(longest - 1).max(self.front + 1);
                None
            }
        }
    }

    /// How many bytes at the end may be the beginning of a frame or of a character.
    fn open_tail(&self) -> usize {
        let bytes = self.open();
        let words = [&self.prefix[..], &self.word, QUESTION.as_bytes(), BEGIN.as_bytes()];
        let begun = |word: &&[u8]| (1..word.len()).rev().find(|&n| bytes.ends_with(&word[..n]));
        words.iter().filter_map(begun).max().unwrap_or(0).max(open_character(bytes))
    }
}

fn add(text: &str, found: &mut Vec<ControlFrame>) {
    match found.last_mut() {
        Some(ControlFrame::Text(last)) => last.push_str(text),
        _ => found.push(ControlFrame::Text(text.into())),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn marks() -> Marks {
        Marks::for_tests()
    }

    fn scanner() -> Scanner {
        Scanner::new(&marks())
    }

    fn text(text: &str) -> ControlFrame {
        ControlFrame::Text(text.into())
    }

    fn mark(said: &str) -> String {
        format!("{}{said}\n", marks().prefix())
    }

    #[test]
    fn a_token_after_text_without_a_newline_is_found() {
        let token = "EVCXR_PANIC_NOTIFICATION";
        let found = scanner().push(format!("50%{}", mark(&format!("T{token}"))).as_bytes());
        assert_eq!(found, [text("50%"), ControlFrame::Token(token.into())]);
    }

    #[test]
    fn marks_are_found_at_every_split() {
        let cell = marks().cell("EVCXR_BEGIN_CONTENT text/html\n<b>\né</b>\nEVCXR_END_CONTENT\n");
        let library = "EVCXR_BEGIN_CONTENT text/plain\nx é\nEVCXR_END_CONTENT\n";
        let says = ["{\"run\":true}", "Xno\\nfile", "S7 stderr a b\\n", "TEVCXR_ERROR_OCCURRED", "B", "E"].map(mark);
        let [run, error, old, token, begin, end] = says;
        let whole = format!("a é{run}b{error}{old}{token}{cell}{library}{begin}{library}{end}{library}EVCXR_INPUT_REQUEST:name\nend\n");
        let expected = scanner().push(whole.as_bytes());
        let content = |kind: &str, content: &str| ControlFrame::Content(kind.into(), content.into());
        let after = [
            ControlFrame::Token("EVCXR_ERROR_OCCURRED".into()),
            content("text/html", "<b>\né</b>"),
            text(library),
            content("text/plain", "x é"),
            text(library),
            ControlFrame::Question("EVCXR_INPUT_REQUEST:name".into()),
            text("end\n"),
        ];
        assert_eq!(expected[5..], after);
        assert_eq!(expected[4], ControlFrame::Record(json!({ "old": { "cell": "7", "name": "stderr", "text": "a b\n" } }).to_string()));
        assert_eq!(expected[3], ControlFrame::Record("{\"error\":\"no\\nfile\"}".into()));
        for split in 0..whole.len() {
            let mut scanner = scanner();
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
        for forged in [
            "EVCXR_EXECUTION_COMPLETE\n",
            "EVCXR_PANIC_NOTIFICATION\n",
            "\x02K{\"display\":{\"data\":{\"text/html\":\"<script>\"}}}\n",
            "\x02K0123456789abcdef0123456789abcdee{\"done\":true}\n",
            "a\x02Xb\n",
            "EVCXR_BEGIN_CONTENT text/html\n<script>\nEVCXR_END_CONTENT\n",
        ] {
            assert_eq!(scanner().push(forged.as_bytes()), [text(forged)]);
        }
        let mut scanner = scanner();
        assert_eq!(scanner.push(b"loss EV"), [text("loss ")]);
        assert_eq!(scanner.patience(), Some(HOLD));
        assert_eq!(scanner.give_up(), [text("EV")]);
    }

    #[test]
    fn a_content_block_without_an_end_is_text_up_to_the_next_mark() {
        let begun = marks().cell("EVCXR_BEGIN_CONTENT text/html\nhalf\n");
        let shown = text("EVCXR_BEGIN_CONTENT text/html\nhalf\n");
        let done = ControlFrame::Record(DONE.into());
        assert_eq!(scanner().push(format!("{begun}{}", mark(DONE)).as_bytes()), [shown, done]);
        let mut scanner = scanner();
        assert_eq!(scanner.push(begun.as_bytes()), []);
        assert_eq!(scanner.patience(), None);
        assert_eq!(scanner.give_up(), [text("EVCXR_BEGIN_CONTENT text/html\nhalf\n")]);
        let block = marks().cell("EVCXR_BEGIN_CONTENT  \nx\nEVCXR_END_CONTENT\n");
        assert_eq!(scanner.push(block.as_bytes()), [text("EVCXR_BEGIN_CONTENT  \nx\nEVCXR_END_CONTENT\n")]);
    }

    #[test]
    fn the_beginning_of_a_mark_waits_for_its_end() {
        let (mut scanner, whole) = (scanner(), mark("{\"display\":1}"));
        assert_eq!(scanner.push(format!("a{}", &whole[..20]).as_bytes()), [text("a")]);
        assert_eq!(scanner.patience(), Some(HOLD_MARK));
        assert_eq!(scanner.push(&whole.as_bytes()[20..40]), []);
        assert_eq!(scanner.patience(), None);
        assert_eq!(scanner.push(format!("{}b", &whole[40..]).as_bytes()), [ControlFrame::Record("{\"display\":1}".into()), text("b")]);
        // No mark after all.
        assert_eq!(scanner.push(&whole.as_bytes()[..9]), []);
        assert_eq!(scanner.give_up(), [text(&whole[..9])]);
        assert_eq!(scanner.push(b"."), [text(".")]);
    }

    #[test]
    fn every_byte_of_a_long_record_is_looked_at_once() {
        let record = mark(&format!("{{\"{}\":1}}", "x".repeat(1 << 20)));
        let (mut scanner, mut count) = (scanner(), 0);
        for piece in record.as_bytes().chunks(4096) {
            let found = scanner.push(piece);
            count += piece.len();
            if count == record.len() {
                assert!(matches!(&found[..], [ControlFrame::Record(text)] if text.len() == record.len() - 35), "{}", found.len());
            } else {
                assert_eq!(found, []);
                // What was looked through is made to look like an end: whoever looks again would find one.
                scanner.rest[35..count - 34].fill(b'\n');
            }
        }
    }
}
