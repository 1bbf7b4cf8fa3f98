//! A chat template → whether its expressions are flat enough to be read, and none of its values can hold itself.
//!
//! The reader goes down a level of its stack for each operator; a value that holds itself is printed without end. Only a
//! `namespace` can change after it was made, so a name of one whose attributes are set may stand before a dot alone.

use std::collections::HashSet;

use crate::border::limits::{BRANCHES, OPERATORS, TEMPLATE};
use crate::error::{Error, ErrorKind, Result};

/// Words that join or open expressions.
const WORDS: [&str; 7] = ["not", "and", "or", "if", "else", "is", "in"];

/// Refuses a template that is too long, or has an expression of too many operators.
///
/// # Errors
/// [`ErrorKind::Tokenizer`] with the line, the count and what is allowed.
pub fn check(template: &str) -> Result<()> {
    let refuse = |message: String| {
        Err(Error::new(ErrorKind::Tokenizer, message).hint("put a template that can be read as chat_template.jinja beside tokenizer.json"))
    };
    if template.len() as u64 > TEMPLATE.bytes {
        return refuse(format!("the chat template has {} bytes; it may have {}", template.len(), TEMPLATE.bytes));
    }
    let (mut rest, mut branches, mut tags) = (template, 0, Vec::new());
    while let Some(start) = rest.find('{') {
        rest = &rest[start..];
        let end = match rest.as_bytes().get(1) {
            Some(b'{') => "}}",
            Some(b'%') => "%}",
            Some(b'#') => {
                rest = rest.split_once("#}").map_or("", |(_, after)| after);
                continue;
            }
            _ => {
                rest = &rest[1..];
                continue;
            }
        };
        let Tag { length, operators, begins } = tag(&rest[2..], end);
        branches += usize::from(begins == "elif");
        if operators > OPERATORS || branches > BRANCHES {
            let line = 1 + template[..template.len() - rest.len()].matches('\n').count();
            return refuse(match operators > OPERATORS {
                true => format!("line {line} of the chat template has an expression of {operators} operators; it may have {OPERATORS}"),
                false => format!("line {line} of the chat template is its {branches}th `elif`; it may have {BRANCHES}"),
            });
        }
        tags.push((template.len() - rest.len(), &rest[2..2 + length]));
        rest = &rest[2 + length..];
    }
    let words: Vec<(usize, Vec<Word>)> = tags.into_iter().map(|(at, tag)| (at, words(tag))).collect();
    let changing: HashSet<&str> = words.iter().flat_map(|(_, words)| set_by_attribute(words)).collect();
    for (at, words) in &words {
        if let Some(word) = words.iter().find(|word| changing.contains(word.text) && !word.is_harmless()) {
            let line = 1 + template[..*at].matches('\n').count();
            return refuse(format!(
                "line {line} of the chat template uses the namespace `{}` as a value; its attributes alone may be used",
                word.text
            ));
        }
    }
    Ok(())
}

/// A word of a tag with what stands around it, without blanks.
struct Word<'a> {
    text: &'a str,
    before: &'a str,
    behind: &'a str,
}

impl Word<'_> {
    /// Whether it is an attribute's name, has its own attribute behind it, or is given a new namespace.
    fn is_harmless(&self) -> bool {
        let is_made = || self.behind.strip_prefix('=').is_some_and(|value| value.trim_start().starts_with("namespace"));
        self.behind.starts_with('.') || self.before.ends_with('.') || (self.before.ends_with("set") && is_made())
    }
}

/// The names whose attributes a tag sets.
fn set_by_attribute<'a>(words: &[Word<'a>]) -> Vec<&'a str> {
    let sets = words.first().is_some_and(|first| ["set", "for", "with"].contains(&first.text));
    let targets = words.iter().skip(1).take_while(|word| !word.before.contains('=') && word.text != "in");
    targets.filter(|word| sets && word.behind.starts_with('.')).map(|word| word.text).collect()
}

fn is_word(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || *byte == b'_' || !byte.is_ascii()
}

/// The place behind a text in quotes that begins at `at`.
fn behind_quotes(bytes: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    while end < bytes.len() && bytes[end] != bytes[at] {
        end += if bytes[end] == b'\\' { 2 } else { 1 };
    }
    end + 1
}

/// The words of a tag outside of quotes.
fn words(tag: &str) -> Vec<Word<'_>> {
    let (bytes, mut at, mut found) = (tag.as_bytes(), 0, Vec::new());
    while at < bytes.len() {
        match bytes[at] {
            b'\'' | b'"' => at = behind_quotes(bytes, at),
            byte if is_word(&byte) => {
                let end = at + bytes[at..].iter().take_while(|byte| is_word(byte)).count();
                found.push(Word { text: &tag[at..end], before: tag[..at].trim_end(), behind: tag[end..].trim_start() });
                at = end;
            }
            _ => at += 1,
        }
    }
    found
}

/// What stands between the signs of a tag.
struct Tag<'a> {
    /// Bytes up to its end, the signs of that included.
    length: usize,
    operators: usize,
    /// Its first word.
    begins: &'a str,
}

/// Reads a tag that ends with `end`; texts in quotes are one value.
fn tag<'a>(text: &'a str, end: &str) -> Tag<'a> {
    let bytes = text.as_bytes();
    let (mut at, mut operators, mut begins) = (0, 0, "");
    while at < bytes.len() {
        match bytes[at] {
            _ if bytes[at..].starts_with(end.as_bytes()) => return Tag { length: at + 2, operators, begins },
            b'\'' | b'"' => at = behind_quotes(bytes, at),
            byte if is_word(&byte) => {
                let length = bytes[at..].iter().take_while(|byte| is_word(byte)).count();
                let word = &text[at..at + length];
                if begins.is_empty() {
                    begins = word;
                }
                operators += usize::from(WORDS.contains(&word));
                at += length;
            }
            byte => {
                operators += usize::from(!byte.is_ascii_whitespace() && !b",:)]}".contains(&byte));
                at += 1;
            }
        }
    }
    Tag { length: text.len(), operators, begins }
}
