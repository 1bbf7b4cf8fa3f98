//! Ids, one by one → the text that each completes, up to the first stop string.

use std::ops::Range;

use crate::error::Result;
use crate::tokenizer::text::Tokenizer;

/// Ids that are decoded again with each new one: what stands before them changes no text behind them.
const WINDOW: usize = 8;
/// A window that ends with broken bytes grows to this; then it is no character that is still to come.
const LONGEST: usize = 64;
/// A character has four bytes, so that three may wait for the last.
const WAITING: usize = 3;

/// Ids, one by one → the text that each completes, at the same cost for each. A character whose bytes are spread over several
/// tokens comes when it is whole; bytes that form none come as U+FFFD.
#[derive(Debug, Clone)]
pub struct TextStreamer {
    tokenizer: Tokenizer,
    window: Vec<u32>,
    /// Bytes of the window's text that were given out.
    shown: usize,
}

impl TextStreamer {
    /// A stream that has seen nothing.
    pub fn new(tokenizer: &Tokenizer) -> Self {
        Self { tokenizer: tokenizer.clone(), window: Vec::new(), shown: 0 }
    }

    /// The text that is complete with one more id; may be empty.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Tokenizer`] when the tokenizer refuses the ids.
    pub fn push(&mut self, id: u32) -> Result<String> {
        self.window.push(id);
        let text = self.tokenizer.decode(&self.window)?;
        // Some tokenizers show the whole run of bytes as broken while one character of it is.
        let broken = text.chars().rev().take_while(|&c| c == char::REPLACEMENT_CHARACTER).count();
        let waits = if self.window.len() < LONGEST { broken } else { broken.min(WAITING) };
        let whole = text.len() - waits * char::REPLACEMENT_CHARACTER.len_utf8();
        let new = text.get(self.shown..whole).unwrap_or_default().to_string();
        self.shown = self.shown.max(whole);
        if self.window.len() >= LONGEST || self.window.len() >= 2 * WINDOW && broken == 0 {
            self.shorten(&text)?;
        }
        Ok(new)
    }

    /// The text that was held back for bytes that did not come.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Tokenizer`] when the tokenizer refuses the ids.
    pub fn end(&mut self) -> Result<String> {
        let text = self.tokenizer.decode(&self.window)?;
        let rest = text.get(self.shown..).unwrap_or_default().to_string();
        self.shown = text.len();
        Ok(rest)
    }

    /// Forgets ids whose text can no longer change, where a character ends.
    fn shorten(&mut self, text: &str) -> Result<()> {
        let end = self.window.len();
        for cut in end - WINDOW..end - WAITING {
            let (before, after) = (self.tokenizer.decode(&self.window[..cut])?, self.tokenizer.decode(&self.window[cut..])?);
            if !after.is_empty() && text.starts_with(&before) && text.ends_with(&after) && !before.ends_with(char::REPLACEMENT_CHARACTER) {
                self.shown = (after.len() + self.shown).saturating_sub(text.len());
                self.window.drain(..cut);
                break;
            }
        }
        Ok(())
    }
}

/// Text, piece by piece → the part of it that stands before the first of some strings.
#[derive(Debug, Clone)]
pub struct StopStrings {
    strings: Vec<String>,
    /// The end of the text so far, which may be the beginning of a stop string.
    held: String,
    /// Parts of it that are not given out.
    hidden: Vec<Range<usize>>,
    found: bool,
}

impl StopStrings {
    /// A text that has not begun; empty strings stop nothing.
    pub fn new(strings: &[String]) -> Self {
        Self {
            strings: strings.iter().filter(|string| !string.is_empty()).cloned().collect(),
            held: String::new(),
            hidden: Vec::new(),
            found: false,
        }
    }

    /// Whether a stop string came.
    pub fn found(&self) -> bool {
        self.found
    }

    /// The text that can be given out now that more of it came; nothing once a stop string was found.
    pub fn push(&mut self, text: &str) -> String {
        self.take(text, false)
    }

    /// [`StopStrings::push`] of text that is looked through and never given out.
    pub(crate) fn push_hidden(&mut self, text: &str) -> String {
        self.take(text, true)
    }

    fn take(&mut self, text: &str, is_hidden: bool) -> String {
        if self.found {
            return String::new();
        }
        let before = self.held.len();
        self.held.push_str(text);
        if is_hidden {
            self.hidden.push(before..self.held.len());
        }
        if let Some(start) = self.strings.iter().filter_map(|stop| self.held.find(stop.as_str())).min() {
            self.found = true;
            let text = self.release(start);
            self.held.clear();
            return text;
        }
        let begins = |at: &usize| self.strings.iter().any(|stop| stop.starts_with(&self.held[*at..]));
        let keep = self.held.char_indices().map(|(at, _)| at).find(begins).unwrap_or(self.held.len());
        self.release(keep)
    }

    /// What was held back, when the text ends without a stop string.
    pub fn end(&mut self) -> String {
        self.release(self.held.len())
    }

    /// The first `end` bytes that were held back, as far as they may be seen.
    fn release(&mut self, end: usize) -> String {
        let rest = self.held.split_off(end);
        let mut text = std::mem::replace(&mut self.held, rest);
        for hidden in self.hidden.iter().rev().filter(|hidden| hidden.start < end) {
            text.replace_range(hidden.start..hidden.end.min(end), "");
        }
        self.hidden.retain(|hidden| hidden.end > end);
        for hidden in &mut self.hidden {
            *hidden = hidden.start.saturating_sub(end)..hidden.end - end;
        }
        text
    }
}

/// Ids, one by one → the text before the first stop string, in which special tokens count by their names though they are
/// not given out.
#[derive(Debug, Clone)]
pub(crate) struct StoppedStreamer {
    streamer: TextStreamer,
    stops: StopStrings,
}

impl StoppedStreamer {
    /// A stream that has seen nothing.
    pub fn new(tokenizer: &Tokenizer, stops: &[String]) -> Self {
        Self { streamer: TextStreamer::new(tokenizer), stops: StopStrings::new(stops) }
    }

    /// What makes text of the ids.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.streamer.tokenizer
    }

    /// The text that can be given out with one more id; may be empty.
    pub fn push(&mut self, id: u32) -> Result<String> {
        let text = self.streamer.push(id)?;
        let mut text = self.stops.push(&text);
        if !self.stops.strings.is_empty()
            && let Some(special) = self.tokenizer().special_token(id)
        {
            text.push_str(&self.stops.push_hidden(&special));
        }
        Ok(text)
    }

    /// Whether a stop string came.
    pub fn found(&self) -> bool {
        self.stops.found()
    }

    /// What was held back, when the text ends without a stop string.
    #[cfg(feature = "serve")]
    pub fn end(&mut self) -> Result<String> {
        let rest = self.streamer.end()?;
        let mut text = self.stops.push(&rest);
        text.push_str(&self.stops.end());
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_text_stops_and_is_never_given_out() {
        let pieces = |stop: &str| {
            let mut stops = StopStrings::new(&[stop.to_string()]);
            let text =
                [stops.push("a "), stops.push_hidden("<|x|>"), stops.push("b"), stops.push_hidden("<|y|>"), stops.push("c")].concat();
            (text + &stops.end(), stops.found())
        };
        assert_eq!(pieces("<|x|>"), ("a ".into(), true));
        assert_eq!(pieces("|>b<"), ("a ".into(), true), "a stop string may begin and end within special tokens");
        assert_eq!(pieces("b<|y|>c"), ("a ".into(), true));
        assert_eq!(pieces("<|x|>b<|y|>d"), ("a bc".into(), false));
        assert_eq!(pieces("ab"), ("a bc".into(), false));
    }
}
