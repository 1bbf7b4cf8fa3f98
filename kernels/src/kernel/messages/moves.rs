//! The text of a cell and a variable → the line that gave the variable away.
//!
//! What is moved cannot be used again, so it is the last use that can move: as a value by itself, in a `move` closure, or
//! as the receiver of a method that may consume it.

use notebooks::scan;
use ra_ap_syntax::ast::{self, HasName};
use ra_ap_syntax::{AstNode, SyntaxNode};

use crate::kernel::messages::directive;
use crate::syntax::{self, Statements};

/// How sure a use is to move; the surest are last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    /// In a macro, whose tokens say little.
    InMacro,
    /// As the receiver of a method.
    Receiver,
    /// As a value by itself.
    Value,
}

/// The line (from 1) of a cell that moved a variable, and its text.
pub fn moved_at(name: &str, cell: &str) -> Option<(usize, String)> {
    let code = directive::rust(cell);
    let statements = syntax::parse(&code).ok()?;
    let found = statements.list().syntax().descendants().filter_map(|node| use_of(&node, name));
    let (_, place) = found.max()?;
    let line = code[..place].matches('\n').count();
    Some((line + 1, code.lines().nth(line)?.trim().to_string()))
}

/// Whether a name stands anywhere in a cell.
pub fn mentions(name: &str, cell: &str) -> bool {
    scan::tokens(cell).any(|token| token.text == name)
}

/// The variables that a cell defines by `let`, outside of blocks.
pub fn defined(cell: &str) -> Vec<String> {
    let Ok(statements) = syntax::parse(&directive::rust(cell)) else { return Vec::new() };
    let patterns = statements.list().statements().filter_map(|statement| match statement {
        ast::Stmt::LetStmt(stmt) => stmt.pat(),
        _ => None,
    });
    let names = patterns.flat_map(|pattern| pattern.syntax().descendants().filter_map(ast::IdentPat::cast).collect::<Vec<_>>());
    names.filter_map(|pattern| pattern.name().map(|name| name.to_string())).collect()
}

/// A node that may move the variable, and the byte where it begins.
fn use_of(node: &SyntaxNode, name: &str) -> Option<(Use, usize)> {
    if let Some(call) = ast::MacroCall::cast(node.clone()) {
        let tokens = call.token_tree()?;
        let named = tokens.syntax().descendants_with_tokens().filter_map(|element| element.into_token()).any(|token| token.text() == name);
        return named.then_some((Use::InMacro, Statements::range(&call).start));
    }
    if let Some(field) = ast::RecordExprField::cast(node.clone()) {
        // `S { name }`
        let short = field.expr().is_some_and(|expr| expr.syntax().text() == name) && field.name_ref().is_none_or(|own| own.text() == name);
        return short.then_some((Use::Value, Statements::range(&field).start));
    }
    let path = ast::PathExpr::cast(node.clone()).filter(|path| path.syntax().text() == name)?;
    let moves = |node: SyntaxNode| match ast::ClosureExpr::cast(node.clone()) {
        Some(closure) => closure.move_token().is_some(),
        None => ast::BlockExpr::cast(node).is_some_and(|block| block.move_token().is_some()),
    };
    let place = Statements::range(&path).start;
    if path.syntax().ancestors().any(moves) {
        return Some((Use::Value, place));
    }
    let parent = path.syntax().parent()?;
    let is_left = |parent: &ast::BinExpr| parent.lhs().is_some_and(|left| left.syntax() == path.syntax());
    if ast::MethodCallExpr::cast(parent.clone()).is_some_and(|call| call.receiver().is_some_and(|own| own.syntax() == path.syntax())) {
        return Some((Use::Receiver, place));
    }
    let only_looks = ast::RefExpr::can_cast(parent.kind())
        || ast::FieldExpr::can_cast(parent.kind())
        || ast::IndexExpr::can_cast(parent.kind())
        || ast::MatchExpr::can_cast(parent.kind())
        || ast::BinExpr::cast(parent).is_some_and(|parent| match parent.op_kind() {
            Some(ast::BinaryOp::Assignment { .. }) => is_left(&parent),
            Some(ast::BinaryOp::ArithOp(_)) => false,
            _ => true,
        });
    (!only_looks).then_some((Use::Value, place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_moves_is_found_and_no_other() {
        let line = |cell: &str| moved_at("v", cell).map(|(line, _)| line);
        assert_eq!(line("drop(v);\nprintln!(\"v is gone\");"), Some(1));
        assert_eq!(line("let n = v.len();\n// v\nlet t = thread::spawn(move || v.len());\nlet o = &w;"), Some(3));
        assert_eq!(line("println!(\"{v:?} {}\", v.len());\nlet owned = v;\nlet x = \"v\";"), Some(2));
        assert_eq!(line("f(&v);\nlet all = v.into_iter().count();"), Some(2));
        assert_eq!(line("let a = S { v };\n"), Some(1));
        assert_eq!(line("for x in v {}\nf(x.v);"), Some(1));
        assert_eq!(line("let b = async move { v[0] };"), Some(1));
        assert_eq!(line("let w = vec![v];\nf(&1)"), Some(1));
        assert_eq!((line("f(&v); v.x = 1; v[0]; v == 2;"), line("f(\"v\", x.v)")), (None, None));
    }

    #[test]
    fn what_a_cell_defines_and_names() {
        assert_eq!(defined("let (a, mut b) = f();\nlet P { c, d: e } = p; { let g = 1; }\nfn h() { let i = 1; }"), ["a", "b", "c", "e"]);
        assert!(mentions("v", "f(\"x\", v)") && !mentions("v", "f(\"v\", w) // v"));
    }
}
