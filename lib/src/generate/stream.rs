//! Ids, one by one → the text that each completes, up to the first stop string.

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
    found: bool,
}

impl StopStrings {
    /// A text that has not begun; empty strings stop nothing.
    pub fn new(strings: &[String]) -> Self {
        Self { strings: strings.iter().filter(|string| !string.is_empty()).cloned().collect(), held: String::new(), found: false }
    }

    /// Whether a stop string came.
    pub fn found(&self) -> bool {
        self.found
    }

    /// The text that can be given out now that more of it came; nothing once a stop string was found.
    pub fn push(&mut self, text: &str) -> String {
        if self.found {
            return String::new();
        }
        self.held.push_str(text);
        if let Some(start) = self.strings.iter().filter_map(|stop| self.held.find(stop.as_str())).min() {
            self.found = true;
            self.held.truncate(start);
            return std::mem::take(&mut self.held);
        }
        let begins = |at: &usize| self.strings.iter().any(|stop| stop.starts_with(&self.held[*at..]));
        let keep = self.held.char_indices().map(|(at, _)| at).find(begins).unwrap_or(self.held.len());
        let rest = self.held.split_off(keep);
        std::mem::replace(&mut self.held, rest)
    }

    /// What was held back, when the text ends without a stop string.
    pub fn end(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}
