//! Output that moves the cursor, such as progress bars → pictures of a small terminal, redrawn in place.
//!
//! Front ends understand newlines, `\r` and colours in a stream, nothing more. Text of only these passes through; from
//! the first control sequence that moves or erases, the lines concerned become a display that is updated, until plain
//! lines follow.

use std::fmt::Write;

use crate::kernel::messages::width::columns;

/// Columns of the terminal; programs that ask are told so.
pub const WIDTH: usize = 100;
/// Rows of the terminal: how far up a program expects the cursor to go.
pub const HEIGHT: usize = 24;
/// A picture of more rows is left as it is.
const LONGEST: usize = 500;

/// What to publish.
#[derive(Debug, PartialEq, Eq)]
pub enum Shown {
    /// Text for the stream.
    Stream(String),
    /// The picture number `id` of this cell, new or redrawn.
    Draw { id: usize, first: bool, text: String },
}

/// One output of one cell.
#[derive(Default)]
pub struct Screen {
    /// Text without an end of line: the first frame of a progress bar, if a second one follows.
    held: String,
    /// The columns of an unfinished line that is in the stream already.
    open: usize,
    picture: Option<Picture>,
    pictures: usize,
}

impl Screen {
    /// Takes text; with `hold`, an unfinished line is kept until [`Screen::release`] or until more comes.
    pub fn push(&mut self, text: &str, hold: bool) -> Vec<Shown> {
        // Held once, not again and again: dots that a program writes one by one are no frames.
        let hold = hold && self.held.is_empty();
        let text = std::mem::take(&mut self.held) + text;
        let ended =
            |picture: &Picture| picture.rows.len() > LONGEST || (picture.is_at_line_start() && is_plain(&text) && text.ends_with('\n'));
        if self.picture.as_ref().is_some_and(ended) {
            self.picture = None;
        }
        if self.picture.is_some() {
            return self.redraw(&text, false);
        }
        if is_plain(&text) {
            let unfinished = !text.ends_with('\n') && !text.contains('\r');
            if hold && (unfinished || text.ends_with('\x1b')) {
                self.held = text;
                return Vec::new();
            }
            return self.stream(text).into_iter().collect();
        }
        // What is too far above to be reached stays text.
        let start = first_control(&text).unwrap_or(0);
        let reachable = text[..start].rmatch_indices('\n').nth(HEIGHT).map_or(0, |(newline, _)| newline + 1);
        let mut shown: Vec<Shown> = Vec::new();
        if self.open > 0 {
            // The unfinished line cannot be taken back, but overwritten.
            shown.push(Shown::Stream(format!("\r{}\r", " ".repeat(std::mem::take(&mut self.open)))));
        }
        shown.extend(self.stream(text[..reachable].to_string()));
        self.pictures += 1;
        self.picture = Some(Picture { rows: vec![Vec::new()], ..Picture::default() });
        shown.extend(self.redraw(&text[reachable..], true));
        shown
    }

    /// Draws; whole lines that follow the last control sequence and its line are text again.
    fn redraw(&mut self, text: &str, first: bool) -> Vec<Shown> {
        let control = text.rfind(['\x1b', '\r', '\x08']).unwrap_or(0);
        let end = text[control..].find('\n').map_or(text.len(), |newline| control + newline + 1);
        let (picture, lines) = if text.ends_with('\n') { text.split_at(end) } else { (text, "") };
        let mut shown: Vec<Shown> = self.draw(picture, first).into_iter().collect();
        if !lines.is_empty() {
            self.picture = None;
            shown.extend(self.stream(lines.to_string()));
        }
        shown
    }

    /// Whether text is kept that [`Screen::release`] would return.
    pub fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// The kept text, for the stream.
    pub fn release(&mut self) -> Option<Shown> {
        let held = std::mem::take(&mut self.held);
        self.stream(held)
    }

    fn stream(&mut self, text: String) -> Option<Shown> {
        let line = text.rsplit('\n').next().unwrap_or_default();
        self.open = if text.contains('\n') { 0 } else { self.open } + line.chars().map(columns).sum::<usize>();
        (!text.is_empty()).then_some(Shown::Stream(text))
    }

    fn draw(&mut self, text: &str, first: bool) -> Option<Shown> {
        let picture = self.picture.as_mut()?;
        picture.write(text);
        Some(Shown::Draw { id: self.pictures, first, text: picture.text() })
    }
}

/// Whether front ends show the text as it is meant: no sequence but colours, and no colours in a line that is overwritten.
fn is_plain(text: &str) -> bool {
    first_control(text).is_none()
}

/// Where the first sequence begins that moves or erases.
fn first_control(text: &str) -> Option<usize> {
    let overwrites = |line: &str| line.trim_end_matches('\r').contains('\r') && line.contains('\x1b');
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if overwrites(line.trim_end_matches('\n')) {
            return Some(start);
        }
        start += line.len();
    }
    text.match_indices("\x1b[")
        .find(|(place, _)| Sequence::read(&text[*place..]).is_some_and(|sequence| sequence.end != 'm'))
        .map(|(place, _)| place)
}

/// A control sequence: `ESC [ parameters end`.
struct Sequence<'a> {
    parameters: &'a str,
    end: char,
    length: usize,
}

impl<'a> Sequence<'a> {
    fn read(text: &'a str) -> Option<Sequence<'a>> {
        let body = text.strip_prefix("\x1b[")?;
        let end = body.find(|char| ('@'..='~').contains(&char))?;
        Some(Sequence { parameters: &body[..end], end: body[end..].chars().next()?, length: 2 + end + 1 })
    }

    /// The parameter at a place, or its default.
    fn number(&self, place: usize, default: usize) -> usize {
        self.parameters.split(';').nth(place).and_then(|text| text.parse().ok()).unwrap_or(default)
    }
}

/// The lines that a program redraws, and where its cursor is.
#[derive(Default)]
struct Picture {
    /// Characters with their colours; one of two columns is followed by an empty one.
    rows: Vec<Vec<(char, String)>>,
    row: usize,
    /// [`WIDTH`] after the last column was written: the next character begins a line.
    column: usize,
    colour: String,
    /// A sequence whose end has not come yet.
    rest: String,
}

impl Picture {
    fn is_at_line_start(&self) -> bool {
        self.row + 1 == self.rows.len() && (self.column == 0 || self.column >= WIDTH) && self.rest.is_empty()
    }

    fn write(&mut self, text: &str) {
        let text = std::mem::take(&mut self.rest) + text;
        let mut rest = text.as_str();
        while let Some(char) = rest.chars().next() {
            let mut length = char.len_utf8();
            match char {
                '\n' => self.line_feed(),
                '\r' => self.column = 0,
                '\x08' => self.column = self.column.saturating_sub(1),
                '\x1b' => match Sequence::read(rest) {
                    Some(sequence) => {
                        length = sequence.length;
                        self.obey(&sequence);
                    }
                    None if rest.len() < 64 && (rest.len() == 1 || rest.starts_with("\x1b[")) => {
                        self.rest = rest.to_string();
                        return;
                    }
                    None => {}
                },
                char if char < ' ' && char != '\t' => {}
                char => self.put(char),
            }
            rest = &rest[length..];
        }
    }

    fn line_feed(&mut self) {
        (self.row, self.column) = (self.row + 1, 0);
        if self.row == self.rows.len() {
            self.rows.push(Vec::new());
        }
    }

    fn put(&mut self, char: char) {
        // A picture has no place for what combines with the character before it.
        let width = columns(char).max(1);
        if self.column + width > WIDTH {
            self.line_feed();
        }
        let row = &mut self.rows[self.row];
        row.resize(row.len().max(self.column + width), (' ', String::new()));
        row[self.column] = (char, self.colour.clone());
        for place in 1..width {
            row[self.column + place] = ('\0', String::new());
        }
        self.column += width;
    }

    fn obey(&mut self, sequence: &Sequence) {
        let count = sequence.number(0, 1).max(1);
        let last = self.rows.len() - 1;
        match sequence.end {
            'A' => self.row = self.row.saturating_sub(count),
            'B' => self.row = (self.row + count).min(last),
            'C' => self.column = (self.column + count).min(WIDTH - 1),
            'D' => self.column = self.column.saturating_sub(count),
            'E' => (self.row, self.column) = ((self.row + count).min(last), 0),
            'F' => (self.row, self.column) = (self.row.saturating_sub(count), 0),
            'G' => self.column = (count - 1).min(WIDTH - 1),
            'H' | 'f' => (self.row, self.column) = ((count - 1).min(last), (sequence.number(1, 1).max(1) - 1).min(WIDTH - 1)),
            'J' => match sequence.number(0, 0) {
                0 => {
                    self.rows.truncate(self.row + 1);
                    self.rows[self.row].truncate(self.column);
                }
                2 | 3 => *self = Picture { rows: vec![Vec::new()], colour: std::mem::take(&mut self.colour), ..Picture::default() },
                _ => {}
            },
            'K' => {
                let row = &mut self.rows[self.row];
                match sequence.number(0, 0) {
                    0 => row.truncate(self.column),
                    1 => row.iter_mut().take(self.column + 1).for_each(|cell| *cell = (' ', String::new())),
                    _ => row.clear(),
                }
            }
            'm' if matches!(sequence.parameters, "" | "0") => self.colour.clear(),
            'm' => {
                let _ = write!(self.colour, "\x1b[{}m", sequence.parameters);
            }
            _ => {}
        }
    }

    /// The rows as text with colours, without blanks at their ends.
    fn text(&self) -> String {
        let mut lines: Vec<String> = self.rows.iter().map(|row| line(row)).collect();
        while lines.len() > 1 && lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines.join("\n")
    }
}

fn line(row: &[(char, String)]) -> String {
    let end = row.iter().rposition(|(char, _)| *char != ' ').map_or(0, |last| last + 1);
    let (mut text, mut colour) = (String::new(), "");
    for (char, own) in row[..end].iter().filter(|(char, _)| *char != '\0') {
        if own != colour {
            text += if colour.is_empty() { "" } else { "\x1b[0m" };
            text += own;
            colour = own;
        }
        text.push(*char);
    }
    text + if colour.is_empty() { "" } else { "\x1b[0m" }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line as indicatif writes it: padded to the width of the terminal, so that the next one wraps.
    fn padded(text: &str) -> String {
        format!("{text}{}", " ".repeat(WIDTH - text.chars().count()))
    }

    fn draw(id: usize, first: bool, text: &str) -> Vec<Shown> {
        vec![Shown::Draw { id, first, text: text.into() }]
    }

    #[test]
    fn plain_text_and_carriage_returns_pass() {
        let mut screen = Screen::default();
        for text in ["one\n", "\r50%", "\r100%\n", "\x1b[31mred\x1b[0m\n", "windows\r\n"] {
            assert_eq!(screen.push(text, true), [Shown::Stream(text.into())]);
        }
        assert_eq!(screen.push("half", true), []);
        assert!(screen.holds());
        assert_eq!(screen.push(" a line\n", true), [Shown::Stream("half a line\n".into())]);
        assert_eq!(screen.push(".", true), []);
        assert_eq!(screen.push(".", true), [Shown::Stream("..".into())]);
    }

    #[test]
    fn one_bar_is_redrawn_from_its_first_frame_on() {
        let mut screen = Screen::default();
        assert_eq!(screen.push(&padded("bar 0/2"), true), []);
        let frame = |n: usize| format!("\r\x1b[2K{}", padded(&format!("bar {n}/2")));
        assert_eq!(screen.push(&frame(1), true), draw(1, true, "bar 1/2"));
        assert_eq!(screen.push(&frame(2), true), draw(1, false, "bar 2/2"));
        assert_eq!(screen.push("after\n", true), [Shown::Stream("after\n".into())]);
        let shown = screen.push("\r\x1b[2Kone\ntwo\n", true);
        assert_eq!((&shown[..1], &shown[1..]), (&draw(2, true, "one")[..], &[Shown::Stream("two\n".into())][..]));
    }

    #[test]
    fn two_bars_and_a_note_above_them() {
        let mut screen = Screen::default();
        screen.push(&(padded("a 0") + &padded("b 0")), true);
        let up = "\x1b[1A\r\x1b[2K\x1b[1B\r\x1b[2K\x1b[1A";
        assert_eq!(screen.push(&format!("{up}{}{}", padded("a 1"), padded("b 0")), true), draw(1, true, "a 1\nb 0"));
        let noted = format!("{up}{}{}{}", padded("note"), padded("a 1"), padded("b 1"));
        assert_eq!(screen.push(&noted, true), draw(1, false, "note\na 1\nb 1"));
        // A sequence in two pieces.
        assert_eq!(screen.push("\x1b[1", true), draw(1, false, "note\na 1\nb 1"));
        assert_eq!(screen.push("A\r\x1b[2K", true), draw(1, false, "note\n\nb 1"));
    }

    #[test]
    fn colours_stay_and_an_open_line_of_the_stream_is_overwritten() {
        let mut screen = Screen::default();
        assert_eq!(screen.push("0%", false), [Shown::Stream("0%".into())]);
        let shown = screen.push("\r\x1b[K\x1b[32m漢1\x1b[0m%", false);
        assert_eq!(shown[0], Shown::Stream("\r  \r".into()));
        assert_eq!(shown[1..], draw(1, true, "\x1b[32m漢1\x1b[0m%"));
    }

    #[test]
    fn whatever_comes_no_bytes_stop_it() {
        let mut screen = Screen::default();
        let pieces = [
            "\x1b[",
            "999A",
            "\x1b[5;500H",
            "x",
            "\x1b[J",
            "\x1b]0;title\x07",
            "\x1b[1K",
            "\x1b[2J",
            "\n\n",
            "\x1b[99999999999999999999A",
            "é\x1b",
        ];
        for index in 0..2000 {
            screen.push(pieces[(index * 7 + index / 11) % pieces.len()], index % 3 == 0);
        }
        screen.release();
    }
}
