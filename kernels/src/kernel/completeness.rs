//! The text of a cell → is it complete: the answer to `is_complete_request`.
//!
//! Brackets, quotes and comments that are open ask for more, and tell how far to indent it. If they are closed, the cell
//! is parsed: an error at its end asks for more, one before it cannot be mended by more.

use syn::parse::{ParseStream, Parser};

/// The answer to `is_complete_request`.
#[derive(Debug, PartialEq, Eq)]
pub enum Completeness {
    Complete,
    /// More is needed; a client indents the next line by this text.
    Incomplete(String),
    Invalid,
}

/// A longer or more deeply nested cell is not parsed: the parser calls itself for each level.
const LONGEST: usize = 32 << 10;
const DEEPEST: usize = 200;
/// Enough for [`LONGEST`] signs that each are a level; the system provides what is used.
const STACK: usize = 256 << 20;

/// Whether a cell is complete.
pub fn completeness(code: &str) -> Completeness {
    let code = without_commands(code);
    let brackets = brackets(&code);
    match brackets.state {
        State::Mismatched => Completeness::Invalid,
        State::Open(indent) => Completeness::Incomplete("    ".repeat(indent)),
        State::Closed if code.len() > LONGEST || brackets.deepest > DEEPEST => Completeness::Complete,
        // Its own thread, since the parser remembers every text that it has read until its thread ends.
        State::Closed => std::thread::Builder::new()
            .stack_size(STACK)
            .spawn(move || parse(&code))
            .ok()
            .and_then(|thread| thread.join().ok())
            .unwrap_or(Completeness::Complete),
    }
}

/// The cell without the lines at its head that are no Rust.
fn without_commands(code: &str) -> String {
    let mut head = true;
    let lines = code.split('\n').map(|line| {
        let text = line.trim();
        head &= text.is_empty() || text.starts_with([':', '!']) || text.starts_with("//");
        if head { "" } else { line }
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn parse(code: &str) -> Completeness {
    let cell = |input: ParseStream| {
        input.call(syn::Attribute::parse_inner)?;
        syn::Block::parse_within(input)
    };
    match cell.parse_str(code) {
        Ok(_) => Completeness::Complete,
        Err(error) => {
            // At the end of the cell there is nothing to point at; at the end of a group there is its bracket.
            let at_end = error.span().start() == error.span().end();
            if at_end { Completeness::Incomplete(String::new()) } else { Completeness::Invalid }
        }
    }
}

enum State {
    Closed,
    /// How many levels the next line is indented.
    Open(usize),
    Mismatched,
}

struct Brackets {
    state: State,
    deepest: usize,
}

/// What the scanner is inside of.
enum Inside {
    Code,
    Line,
    Block(usize),
    Text,
    Raw(usize),
}

/// Whether brackets, quotes and comments are closed.
fn brackets(code: &str) -> Brackets {
    let chars: Vec<char> = code.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let (mut inside, mut index, mut line, mut deepest) = (Inside::Code, 0, 0, 0);
    // What is open, and in which line it was opened.
    let mut open: Vec<(char, usize)> = Vec::new();
    while index < chars.len() {
        let (char, next) = (chars[index], at(index + 1));
        let mut step = 1;
        line += usize::from(char == '\n');
        match inside {
            Inside::Code => match char {
                '/' if next == '/' => inside = Inside::Line,
                '/' if next == '*' => (inside, step) = (Inside::Block(1), 2),
                '"' => inside = Inside::Text,
                'r' if !is_word(index.checked_sub(1).map_or(' ', at)) || "bc".contains(at(index - 1)) => {
                    let hashes = chars[index + 1..].iter().take_while(|char| **char == '#').count();
                    if at(index + 1 + hashes) == '"' {
                        (inside, step) = (Inside::Raw(hashes), hashes + 2);
                    }
                }
                '\'' => step = quoted_char(&chars[index..]),
                '(' | '[' | '{' => {
                    open.push((char, line));
                    deepest = deepest.max(open.len());
                }
                ')' | ']' | '}' => {
                    let wanted = match char {
                        ')' => '(',
                        ']' => '[',
                        _ => '{',
                    };
                    if open.pop().is_none_or(|(opened, _)| opened != wanted) {
                        return Brackets { state: State::Mismatched, deepest };
                    }
                }
                _ => {}
            },
            Inside::Line if char == '\n' => inside = Inside::Code,
            Inside::Block(depth) if char == '/' && next == '*' => (inside, step) = (Inside::Block(depth + 1), 2),
            Inside::Block(depth) if char == '*' && next == '/' => {
                inside = if depth == 1 { Inside::Code } else { Inside::Block(depth - 1) };
                step = 2;
            }
            Inside::Text if char == '\\' => step = 2,
            Inside::Text if char == '"' => inside = Inside::Code,
            Inside::Raw(hashes) if char == '"' && chars[index + 1..].iter().take(hashes).filter(|char| **char == '#').count() == hashes => {
                (inside, step) = (Inside::Code, 1 + hashes);
            }
            _ => {}
        }
        index += step;
    }
    let in_text = !matches!(inside, Inside::Code | Inside::Line);
    // However many brackets a line opens, what follows is one level deeper.
    let mut lines: Vec<usize> = open.iter().map(|(_, line)| *line).collect();
    lines.dedup();
    let state = match (in_text, lines.len()) {
        (true, _) => State::Open(0),
        (false, 0) => State::Closed,
        (false, levels) => State::Open(levels),
    };
    Brackets { state, deepest }
}

/// The length of a character literal, or of the quote of a lifetime.
fn quoted_char(chars: &[char]) -> usize {
    match chars {
        [_, '\\', escaped, rest @ ..] => match rest.iter().take(10).position(|char| *char == '\'') {
            Some(end) => end + 4,
            None => 2 + usize::from(*escaped != '\0'),
        },
        [_, _, '\'', ..] => 3,
        _ => 1,
    }
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complete_cells() {
        let cells = [
            "let x = 1;",
            "x",
            "fn f() { 1 }",
            "let a = &'a';",
            "fn f<'a>(x: &'a str) -> &'a str { x }",
            "r#\"(\"#",
            "'\\''",
            "\"a \\\" (\"",
            "// (",
            "/* ( /* */ ( */ 1",
            ":dep regex = \"1\"",
            ":dep regex = \"1\"\n!ls (\nlet r = 1;",
            "0..",
            "br\"{\"",
            "let r = 1; r",
            "b'('",
            "if a { 1 } else { 2 }",
            "if let Some(x) = a && x > 1 { 1 } else { 2 }",
            "#![allow(unused)]\nuse std::fmt;\nasync fn f() {}\nf().await?",
            "var",
            "",
        ];
        for cell in cells {
            assert_eq!(completeness(cell), Completeness::Complete, "{cell}");
        }
    }

    #[test]
    fn incomplete_cells() {
        for (cell, indent) in [
            ("fn f() {", 1),
            ("fn f() {\n    if a {", 2),
            ("foo(|x| {", 1),
            ("let x =", 0),
            ("let x", 0),
            ("let x = match y", 0),
            ("async fn f()", 0),
            ("vec![(1,", 1),
            ("\"abc", 0),
            ("r#\"a\"", 0),
            ("/* a", 0),
            ("a.", 0),
            ("for i in 0..3", 0),
            ("if a { 1 } else", 0),
            ("#[derive(Debug)]", 0),
        ] {
            assert_eq!(completeness(cell), Completeness::Incomplete("    ".repeat(indent)), "{cell}");
        }
    }

    #[test]
    fn invalid_cells() {
        for cell in ["fn f() }", "(]", "vec![1, 2)", "let = 5;", "1 2", "fn 1() {}", "f(1 +)"] {
            assert_eq!(completeness(cell), Completeness::Invalid, "{cell}");
        }
    }

    #[test]
    fn cells_made_to_exhaust_the_parser_are_answered() {
        for sign in ["!", "&", "-", "Vec<", "if a {} else ", "|a|", "(", "{"] {
            completeness(&sign.repeat(LONGEST / sign.len()));
        }
        let (open, closed) = ("(".repeat(1 << 14), ")".repeat(1 << 14));
        assert_eq!(completeness(&format!("{open}{closed}")), Completeness::Complete);
        completeness(&format!("let x: {}u8;", "&".repeat(LONGEST - 20)));
    }
}
