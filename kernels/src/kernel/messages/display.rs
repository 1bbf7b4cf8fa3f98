//! A cell → the same cell with its last expression as a statement that shows it.
//!
//! evcxr would put the expression between lines of its own, and lose the place of what the compiler says of it.

use notebooks::scan;
use ra_ap_syntax::AstNode;
use ra_ap_syntax::ast::{self, HasAttrs};

use crate::kernel::messages::directive;
use crate::syntax::{self, Statements};

/// Where a cell's last expression lies.
pub struct Tail {
    pub line: usize,
    /// Characters of that line, from 1.
    pub columns: std::ops::Range<usize>,
    /// Its bytes in the cell.
    bytes: std::ops::Range<usize>,
}

/// The bytes of the lines at the head of a cell that are no Rust.
fn head(cell: &str) -> usize {
    cell.split_inclusive('\n').take(directive::head_lines(cell)).map(str::len).sum()
}

/// The last expression of a cell that can be put in brackets.
pub fn tail(cell: &str) -> Option<Tail> {
    let head = head(cell);
    let statements = syntax::parse(&cell[head..]).ok()?;
    let tail = statements.list().tail_expr()?;
    // Brackets would make its attributes those of an expression, which are unstable.
    if ast::AnyHasAttrs::cast(tail.syntax().clone()).is_some_and(|tail| tail.attrs().next().is_some()) {
        return None;
    }
    let range = Statements::range(&tail);
    let bytes = head + range.start..head + range.end;
    let line_start = cell[..bytes.start].rfind('\n').map_or(0, |newline| newline + 1);
    let column = cell[line_start..bytes.start].chars().count() + 1;
    let length = cell[bytes.clone()].lines().next().unwrap_or_default().chars().count();
    Some(Tail { line: cell[..bytes.start].matches('\n').count() + 1, columns: column..column + length, bytes })
}

/// Whether a cell defines a trait with `evcxr_display`.
pub fn has_trait(cell: &str) -> bool {
    cell.contains("evcxr_display") && scan::tokens(cell).any(|token| token.text == "trait")
}

/// The cell with its last expression shown by `evcxr_display`; `by_trait`: through a reference, so that a trait of the cells
/// is nearer than the prelude's. The expression begins a line, in its own column.
pub fn shown(cell: &str, by_trait: bool) -> String {
    let cell = without_idle(cell);
    let Some(tail) = tail(&cell) else { return cell };
    let blank = " ".repeat(tail.columns.start - 1);
    let Tail { bytes, .. } = tail;
    let (open, close) = if by_trait { ("(&(", "))") } else { ("(", ")") };
    format!("{}{open}\n{blank}{}\n{close}.evcxr_display();{}", &cell[..bytes.start], &cell[bytes.clone()], &cell[bytes.end..])
}

/// The cell with its last expression as a statement: what a check says of it is what it says of the expression.
pub fn stated(cell: &str) -> String {
    let cell = without_idle(cell);
    match tail(&cell) {
        Some(Tail { bytes, .. }) => format!("{};{}", &cell[..bytes.end], &cell[bytes.end..]),
        None => cell,
    }
}

/// The cell in braces: evcxr would tear apart, or drop, what is no Rust.
pub fn whole(cell: &str) -> String {
    let (head, body) = cell.split_at(head(cell));
    format!("{head}{{\n{body}\n}}")
}

/// The cell with blanks in place of semicolons behind items.
fn without_idle(cell: &str) -> String {
    let head = head(cell);
    let idle = syntax::parse(&cell[head..]).map(|statements| statements.idle_semicolons()).unwrap_or_default();
    idle.into_iter().fold(cell.to_string(), |mut cell, place| {
        cell.replace_range(head + place..=head + place, " ");
        cell
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_expression_becomes_a_statement_in_its_own_column() {
        assert_eq!(shown("let é = 1; é + 1 // two", true), "let é = 1; (&(\n           é + 1\n)).evcxr_display(); // two");
        assert_eq!(shown(":dep x\nmatch a {\n    _ => 1,\n}", false), ":dep x\n(\nmatch a {\n    _ => 1,\n}\n).evcxr_display();");
        for cell in ["f();", "let x = 1;", "fn f() {}", "#[cfg(x)] { 1 }", "1 2", "// c", ":vars", ""] {
            assert_eq!(shown(cell, false), cell);
        }
        assert_eq!(shown("struct S {};\nf() ;", false), "struct S {} \nf() ;");
        assert_eq!(stated(":dep x\nf(); g() // c"), ":dep x\nf(); g(); // c");
        assert_eq!(whole(":dep x\n1 2"), ":dep x\n{\n1 2\n}");
        assert_eq!(tail("f();\n  g(1,\n 2)").map(|tail| (tail.line, tail.columns)), Some((2, 3..7)));
    }
}
