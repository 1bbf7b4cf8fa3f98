//! The text of a cell → is it complete: the answer to `is_complete_request`, and why a cell is refused before it is
//! compiled.
//!
//! Brackets, quotes and comments that are open ask for more, and tell how far to indent it. If they are closed, the cell
//! is parsed: an error at its end asks for more, one before it cannot be mended by more.

use notebooks::scan::{self, Kind, Nesting};

use crate::kernel::messages::depth::{DEEPEST, LONGEST, length, too_deep};
use crate::kernel::messages::directive;
use crate::kernel::messages::errors::{Failure, Label};
use crate::syntax;

/// The answer to `is_complete_request`.
#[derive(Debug, PartialEq, Eq)]
pub enum Completeness {
    Complete,
    /// More is needed; a client indents the next line by this text.
    Incomplete(String),
    Invalid,
}

/// Whether a cell is complete; one that is refused is: more would not help.
pub fn completeness(code: &str) -> Completeness {
    let code = directive::rust(code);
    match scan::nesting(&code).0 {
        _ if is_too_much(&code) => Completeness::Complete,
        Nesting::Mismatched(_) => Completeness::Invalid,
        Nesting::InText => Completeness::Incomplete(String::new()),
        Nesting::Open(levels) => Completeness::Incomplete("    ".repeat(levels)),
        Nesting::Closed => match syntax::check(&code) {
            Ok(()) => Completeness::Complete,
            Err(wrong) if wrong.place >= scan::end(&code) => Completeness::Incomplete(String::new()),
            Err(_) => Completeness::Invalid,
        },
    }
}

/// Whether no parser shall see a cell.
pub fn is_too_much(code: &str) -> bool {
    length(code) > LONGEST || too_deep(code).is_some()
}

/// Why a cell is not compiled: it is too long or too deep, or some of it is missing.
pub fn refusal(number: usize, cell: &str) -> Option<Failure> {
    let code = directive::rust(cell);
    let at = |name: &str, place: usize, length: usize, text: &str, message: &str| {
        let before = &code[..place];
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|char| *char != '\n').count() + 1;
        let source = cell.lines().nth(line - 1).unwrap_or_default().to_string();
        let label = Label { cell: number, line, columns: column..column + length, text: text.into(), primary: true, source };
        Some(Failure::at(name, &message.replace("LINE", &line.to_string()), &label))
    };
    let bytes = length(&code);
    if bytes > LONGEST {
        let text = format!("the cell has {bytes} bytes without its comments; a cell may have {LONGEST}\nread large data from a file");
        return Some(Failure::new("TooLarge", &text));
    }
    if let Some(place) = too_deep(&code) {
        let text = format!(
            "line LINE: brackets, calls and operators nest more than {DEEPEST} levels deep\ngive a part of it a name: `let part = …;`"
        );
        return at("TooDeep", place, 1, "", &text);
    }
    if let (Nesting::Mismatched(place), _) = scan::nesting(&code) {
        let (bracket, open) = (&code[place..place + 1], open(&code[..place]));
        let (kind, label) = match open {
            Some((_, opened)) => ("mismatched", format!("`{opened}` is open here")),
            None => ("unexpected", "closes nothing".into()),
        };
        return at("CompileError", place, 1, &label, &format!("{kind} closing delimiter: `{bracket}`"));
    }
    if let Some((place, what)) = open(&code) {
        let incomplete = |what: &str| format!("the cell is incomplete: line LINE: {what}");
        if let "(" | "[" | "{" = what {
            return at("Incomplete", place, 1, "opened here", &incomplete(&format!("`{what}` is not closed")));
        }
        // As the compiler names them.
        let (name, headline) = match what.trim_end_matches(['"', '#']) {
            "/*" if code[place..].starts_with("/**") || code[place..].starts_with("/*!") => ("E0758", "unterminated block doc-comment"),
            "/*" => ("E0758", "unterminated block comment"),
            "b" => ("E0766", "unterminated double quote byte string"),
            "c" => ("E0767", "unterminated C string"),
            "r" | "br" | "cr" => ("E0748", "unterminated raw string"),
            _ => ("E0765", "unterminated double quote string"),
        };
        let reason = incomplete(if name == "E0758" { "the comment has no end" } else { "the string has no end" });
        return at(name, place, what.chars().count(), "begins here", &format!("{headline}\n{reason}"));
    }
    let wrong = syntax::check(&code).err().filter(|wrong| wrong.place >= scan::end(&code))?;
    at("Incomplete", scan::end(&code), 1, &wrong.why, &format!("the cell is incomplete: {} at the end of line LINE", wrong.why))
}

/// What is open at the end of code, and the byte where it begins: the innermost.
fn open(code: &str) -> Option<(usize, &str)> {
    let mut open = Vec::new();
    for token in scan::tokens(code) {
        match token.kind {
            _ if !token.ended => {
                let quotes = if token.kind == Kind::Comment { 2 } else { token.text.find('"').map_or(1, |quote| quote + 1) };
                open.push((token.start, &token.text[..quotes]));
            }
            Kind::Open(_) => open.push((token.start, token.text)),
            Kind::Close(_) => {
                open.pop();
            }
            _ => {}
        }
    }
    open.pop()
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
            "!true",
            "",
        ];
        for cell in cells {
            assert_eq!(completeness(cell), Completeness::Complete, "{cell}");
            assert_eq!(refusal(1, cell), None, "{cell}");
        }
    }

    #[test]
    fn incomplete_cells_say_what_is_open_and_where() {
        for (cell, indent, reason) in [
            ("fn f() {", 1, "line 1: `{` is not closed"),
            ("fn f() {\n    if a {", 2, "line 2: `{` is not closed"),
            ("foo(|x| {", 1, "line 1: `{` is not closed"),
            ("let x =", 0, "at the end of line 1"),
            ("let x\n\n// more", 0, "at the end of line 1"),
            ("let x = match y", 0, "at the end of line 1"),
            ("async fn f()", 0, "at the end of line 1"),
            ("vec![(1,", 1, "line 1: `(` is not closed"),
            ("!ls\nf(\"abc", 0, "line 2: the string has no end"),
            ("r#\"a\"", 0, "line 1: the string has no end"),
            ("/* a", 0, "line 1: the comment has no end"),
            ("a.", 0, "at the end of line 1"),
            ("for i in 0..3", 0, "at the end of line 1"),
            ("if a { 1 } else", 0, "at the end of line 1"),
            ("#[derive(Debug)]", 0, "at the end of line 1"),
            ("1 +", 0, "at the end of line 1"),
        ] {
            assert_eq!(completeness(cell), Completeness::Incomplete("    ".repeat(indent)), "{cell}");
            let failure = refusal(1, cell).expect(cell);
            assert!(
                (failure.name == "Incomplete" || failure.name.starts_with("E07")) && failure.value.ends_with(reason),
                "{cell}: {failure:?}"
            );
        }
        let traceback = refusal(3, "let é = f(1,\n  g(2);").unwrap().traceback.join("\n");
        assert!(traceback.contains("cell 3, line 1, column 10"), "{traceback}");
    }

    #[test]
    fn invalid_cells() {
        for cell in ["fn f() }", "(]", "vec![1, 2)", "let = 5;", "1 2", "fn 1() {}", "f(1 +)", "}"] {
            assert_eq!(completeness(cell), Completeness::Invalid, "{cell}");
        }
        let message = |cell: &str| refusal(1, cell).map(|failure| failure.value);
        assert_eq!(message("}").as_deref(), Some("unexpected closing delimiter: `}`"));
        assert_eq!(message("f(]").as_deref(), Some("mismatched closing delimiter: `]`"));
        // These the compiler explains.
        assert_eq!((message("let = 5;"), message("1 2")), (None, None));
    }

    #[test]
    fn cells_made_to_exhaust_a_parser_are_refused_with_a_sentence() {
        for sign in ["!", "&", "-", "Vec<", "if a {} else ", "|a|", "(", "{"] {
            let cell = format!("_ = {}", sign.repeat(1 << 14));
            assert_eq!(completeness(&cell), Completeness::Complete);
            assert_eq!(refusal(1, &cell).unwrap().name, "TooDeep", "{sign}");
        }
        assert_eq!(refusal(1, &"f();\n".repeat(1 << 18)).unwrap().name, "TooLarge");
        // The deepest that is allowed is parsed on the small stack of any thread.
        for (open, close) in [("(", ")"), ("{", "}"), ("[", "]"), ("f(", ")"), ("-", ""), ("|a| ", ""), ("if a {} else ", "")] {
            let deep = DEEPEST - 2;
            let levels =
                deep / open.chars().filter(|char| "({[-|".contains(*char)).count().max(1) / if open.starts_with("if") { 2 } else { 1 };
            let cell = format!("{}{{}}{}", open.repeat(levels), close.repeat(levels));
            assert!(!is_too_much(&cell), "{open}");
            completeness(&cell);
        }
    }
}
