//! A chat template → whether its expressions are flat enough to be read: the reader goes down a level of its stack for each operator.

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
    let (mut rest, mut branches) = (template, 0);
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
        rest = &rest[2 + length..];
    }
    Ok(())
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
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || !byte.is_ascii();
    let (mut at, mut operators, mut begins) = (0, 0, "");
    while at < bytes.len() {
        match bytes[at] {
            _ if bytes[at..].starts_with(end.as_bytes()) => return Tag { length: at + 2, operators, begins },
            quote @ (b'\'' | b'"') => {
                at += 1;
                while at < bytes.len() && bytes[at] != quote {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
            }
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
