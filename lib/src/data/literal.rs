//! The numbers and texts of JSON, byte by byte: what the parser does at a digit or a quote.

use std::borrow::Cow;

use serde_json::Number;

use crate::data::json::{Parser, Result, Trouble};

impl<'a> Parser<'a> {
    #[cold]
    pub(crate) fn no_number(&self, word: &str) -> Box<Trouble> {
        self.hinted(
            format!("`{word}` is no number of JSON, though Python's `json.dump` writes it"),
            "write null there (in pandas `df.to_json(…)` does), or leave the row out; `json.dumps(…, allow_nan=False)` finds such rows",
        )
    }

    pub(crate) fn number(&mut self) -> Result<Number> {
        let (bytes, start) = (self.text.as_bytes(), self.at);
        let digits = |from: usize| from + bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let minus = usize::from(bytes[start] == b'-');
        let whole = digits(start + minus);
        if whole == start + minus {
            let rest = &self.text[whole..];
            return Err(if rest.starts_with("Infinity") { self.no_number("-Infinity") } else { self.wrong("`-` is no number") });
        }
        if bytes[start + minus] == b'0' && whole > start + minus + 1 {
            return Err(self.hinted("a number begins with 0", "write it as a text, in quotes: its zeros would be lost"));
        }
        let mut end = whole;
        if bytes.get(end) == Some(&b'.') {
            end = digits(end + 1);
            if end == whole + 1 {
                return Err(self.wrong("no digit follows the point of a number"));
            }
        }
        if let Some(b'e' | b'E') = bytes.get(end) {
            let from = end + 1 + usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            end = digits(from.min(bytes.len()));
            if end <= from {
                return Err(self.wrong("no digit follows the `e` of a number"));
            }
        }
        let text = &self.text[start..end];
        let number = if end == whole && text != "-0" {
            let fits = if minus == 1 { text.parse::<i64>().map(Number::from) } else { text.parse::<u64>().map(Number::from) };
            fits.map_err(|_| {
                let shown = if text.len() > 40 { &text[..40] } else { text };
                self.lossy(format!("the integer {shown} is beyond 64 bits and would lose digits"), "write it as a text, in quotes")
            })?
        } else {
            let number = text.parse::<f64>().ok().filter(|number| number.is_finite()).and_then(Number::from_f64);
            number.ok_or_else(|| self.lossy("the number is larger than 64 bits can say", "write it as a text, in quotes"))?
        };
        self.at = end;
        Ok(number)
    }

    /// A text; the parser stands at the quote.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>> {
        self.at += 1;
        let start = self.at;
        self.plain();
        if self.peek() == Some(b'"') {
            self.at += 1;
            return Ok(Cow::Borrowed(&self.text[start..self.at - 1]));
        }
        self.escaped(start).map(Cow::Owned)
    }

    /// Goes on to the next quote, backslash or control character.
    #[inline]
    fn plain(&mut self) {
        const ONES: u64 = u64::MAX / 255;
        const HIGH: u64 = ONES * 128;
        let bytes = self.text.as_bytes();
        // Eight bytes at once: a byte of `word ^ pattern` is zero where it is the one that is looked for.
        let zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
        while let Some(eight) = bytes.get(self.at..self.at + 8).and_then(|eight| <[u8; 8]>::try_from(eight).ok()) {
            let word = u64::from_le_bytes(eight);
            let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
            let found = zero(word ^ (ONES * u64::from(b'"'))) | zero(word ^ (ONES * u64::from(b'\\'))) | control;
            if found != 0 {
                self.at += found.trailing_zeros() as usize / 8;
                return;
            }
            self.at += 8;
        }
        while self.peek().is_some_and(|byte| byte != b'"' && byte != b'\\' && byte >= 0x20) {
            self.at += 1;
        }
    }

    fn escaped(&mut self, start: usize) -> Result<String> {
        let mut found = String::from(&self.text[start..self.at]);
        loop {
            match self.peek() {
                None => return Err(self.wrong("a text is not closed by a double quote")),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(found);
                }
                Some(b'\\') => {
                    let c = self.escape()?;
                    found.push(c);
                }
                Some(byte) => {
                    let what = format!("the control character {byte:#04x} stands in a text");
                    return Err(self.hinted(what, "write \\n, \\t or \\u00…: `json.dumps` does"));
                }
            }
            let from = self.at;
            self.plain();
            found.push_str(&self.text[from..self.at]);
        }
    }

    /// One escaped character; the parser stands at the backslash.
    fn escape(&mut self) -> Result<char> {
        let c = match self.text.as_bytes().get(self.at + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(self.hinted("a backslash that begins no escape of JSON", "write two backslashes for one")),
        };
        self.at += 2;
        Ok(c)
    }

    fn unicode(&mut self) -> Result<char> {
        let unit = |at: usize| {
            let digits = self.text.get(at + 2..at + 6).filter(|_| self.text[at..].starts_with("\\u"))?;
            digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
        };
        let first = unit(self.at).ok_or_else(|| self.wrong("four hexadecimal digits must follow `\\u`"))?;
        let (units, length) = match first {
            0xd800..0xdc00 => ([Some(first), unit(self.at + 6)], 12),
            _ => ([Some(first), None], 6),
        };
        match char::decode_utf16(units.into_iter().flatten()).next() {
            Some(Ok(c)) => {
                self.at += length;
                Ok(c)
            }
            _ => Err(self.hinted(
                format!("`\\u{first:04x}` is half of a character, without its other half"),
                "the text was cut inside of a character: write it anew from its source, or leave the row out",
            )),
        }
    }
}
