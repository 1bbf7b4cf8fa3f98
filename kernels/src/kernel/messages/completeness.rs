//! The text of a cell → is it complete: the answer to `is_complete_request`.
//!
//! Brackets, quotes and comments that are open ask for more, and tell how far to indent it. If they are closed, the cell
//! is parsed: an error at its end asks for more, one before it cannot be mended by more.

use notebooks::scan::{self, Nesting};

use crate::syntax;

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
    match scan::nesting(&code) {
        (Nesting::Mismatched(_), _) => Completeness::Invalid,
        (Nesting::InText, _) => Completeness::Incomplete(String::new()),
        (Nesting::Open(levels), _) => Completeness::Incomplete("    ".repeat(levels)),
        (Nesting::Closed, deepest) if code.len() > LONGEST || deepest > DEEPEST => Completeness::Complete,
        (Nesting::Closed, _) => std::thread::Builder::new()
            .stack_size(STACK)
            .spawn(move || check(&code))
            .ok()
            .and_then(|thread| thread.join().ok())
            .unwrap_or(Completeness::Complete),
    }
}

/// The cell without the lines at its head that are no Rust.
fn without_commands(code: &str) -> String {
    code.split('\n').skip(scan::head_lines(code)).collect::<Vec<_>>().join("\n")
}

fn check(code: &str) -> Completeness {
    match syntax::check(code) {
        Ok(_) => Completeness::Complete,
        Err(wrong) if wrong.place >= scan::end(code) => Completeness::Incomplete(String::new()),
        Err(_) => Completeness::Invalid,
    }
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
