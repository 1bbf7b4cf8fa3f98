//! The text of a cell → is it small and flat enough for parsers that call themselves for each level.
//!
//! rust-analyzer, evcxr and rustc do: thousands of brackets end their process, a sum of a thousand terms takes minutes.

use notebooks::scan::{Kind, tokens};

/// Levels in one place of a cell: open brackets, and the operators, calls and keywords that build one expression in them.
pub const DEEPEST: usize = 400;
/// Bytes of a cell without its comments.
pub const LONGEST: usize = 1 << 20;

/// Keywords that an expression or a type may follow, without a bracket between.
const PREFIXES: [&str; 16] =
    ["as", "async", "await", "box", "break", "dyn", "else", "if", "impl", "in", "let", "loop", "match", "move", "return", "while"];

/// The bytes of a cell without its comments, which no parser looks into.
pub fn length(code: &str) -> usize {
    tokens(code).filter(|token| token.kind != Kind::Comment).map(|token| token.text.len()).sum()
}

/// The byte of a cell where it is nested too deep.
pub fn too_deep(code: &str) -> Option<usize> {
    // For each open bracket, the levels that it and what stands in it have so far.
    let (mut open, mut total, mut after_block) = (vec![0_usize], 0, false);
    for token in tokens(code) {
        let level = match token.kind {
            Kind::Blank | Kind::Comment => continue,
            Kind::Open(_) | Kind::Text => 0,
            Kind::Close(_) => {
                total -= open.pop().unwrap_or(0);
                if open.is_empty() {
                    open.push(0);
                }
                after_block = token.text == "}";
                continue;
            }
            Kind::Other if matches!(token.text, "," | ";") => {
                total -= rest(&mut open);
                0
            }
            Kind::Other => usize::from("+-*/%^&|<>=!.?".contains(token.text) || PREFIXES.contains(&token.text)),
        };
        // A block ends a statement, unless it goes on.
        if std::mem::take(&mut after_block) && token.text != "else" && !"+-*/%^&|<>=.?".contains(token.text) {
            total -= rest(&mut open);
        }
        if matches!(token.kind, Kind::Open(_)) {
            open.push(1);
            total += 1;
        } else if let Some(last) = open.last_mut() {
            *last += level;
            total += level;
        }
        if total > DEEPEST {
            return Some(token.start);
        }
    }
    None
}

/// Begins a new expression in the innermost bracket; returns the levels of the one before.
fn rest(open: &mut [usize]) -> usize {
    let bracket = usize::from(open.len() > 1);
    open.last_mut().map_or(0, |last| std::mem::replace(last, bracket).saturating_sub(bracket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_exhaust_a_parser_is_too_deep() {
        let sum = vec!["1"; 3000].join(" + ");
        for code in [
            &"(".repeat(4000),
            &format!("{}1{}", "(".repeat(4000), ")".repeat(4000)),
            &sum,
            &format!("let x = {sum};"),
            &"!".repeat(4000),
            &format!("let x: {}", "Vec<".repeat(4000)),
            &"|a| ".repeat(4000),
            &"if a {} else ".repeat(4000),
            &format!("x{}", ".clone()".repeat(4000)),
            &"return ".repeat(4000),
            &"{ f(".repeat(300),
            // Neither its brackets nor its operators alone.
            &format!("{}(", "1 + 2 + 3 + (".repeat(150)),
        ] {
            assert!(too_deep(code).is_some(), "{}…", &code[..40]);
        }
    }

    #[test]
    fn a_comment_may_be_long_and_a_text_may_not() {
        let long = "x".repeat(LONGEST);
        assert_eq!(length(&format!("/* {long} */let a = 1;// {long}")), 10);
        assert!(length(&format!("\"{long}\"")) > LONGEST && length(&format!("let a{long} = 1;")) > LONGEST);
    }

    #[test]
    fn long_and_flat_code_is_not() {
        for code in [
            "let x = f(a.b, -1) + 2;\n".repeat(4000),
            format!("let x = [{}];", "-1.0, ".repeat(4000)),
            "if a { b += 1 } else { c() }\nfor i in 0..3 {}\nmatch x { A | B => {} C if d => {} _ => 1, }\n".repeat(1000),
            "fn f<T: Into<Vec<u8>>>(a: &T) -> i32 { a.b() }\nimpl A for B { fn g(&self) { self.x.y() } }\n".repeat(1000),
            format!("f({})", "\"a\", ".repeat(4000)),
            format!("x{}", ".push(1 + 2)".repeat(300)),
            vec!["1"; 300].join(" + "),
        ] {
            assert_eq!(too_deep(&code), None, "{}…", &code[..40]);
        }
    }
}
