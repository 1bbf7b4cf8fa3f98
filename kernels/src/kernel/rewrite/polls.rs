//! Loops and sleeps of the cells → the same, with a look at the interrupt in each turn.
//!
//! A look costs a load and a branch, which a loop that only computes would feel: it is put into outermost loops with a call or a
//! macro in them, and into every such `loop` and `while`, since a `for` inside of another has an end. It panics in
//! ordinary code, so nothing is lost but what the cell itself had taken.

use ra_ap_syntax::SyntaxNode;
use ra_ap_syntax::ast::{self, AstNode, HasLoopBody, HasName};

use crate::kernel::rewrite::edits::Edits;
use crate::kernel::rewrite::tokens;

/// Modules that evcxr and the kernel add.
pub const OWN: [&str; 2] = ["evcxr_internal_runtime", "evcxr_show"];
const POLL: &str = " crate::evcxr_show::poll();";
const SLEEP: &str = "crate::evcxr_show::sleep";

/// The changes.
pub fn edits(file: &ast::SourceFile) -> Edits {
    let mut edits = Edits::default();
    let imported = file.syntax().descendants().filter_map(ast::Use::cast).any(|line| {
        let text = line.syntax().text().to_string();
        text.contains("thread::") && text.contains("sleep")
    });
    let mut open = vec![file.syntax().clone()];
    while let Some(node) = open.pop() {
        if is_left_alone(&node) {
            continue;
        }
        open.extend(node.children());
        if let Some(place) = turn(&node) {
            edits.insert(place, POLL);
        }
        if let Some(ast::Expr::PathExpr(path)) = ast::CallExpr::cast(node).and_then(|call| call.expr()) {
            let text: String = path.syntax().text().to_string().split_whitespace().collect();
            let text = text.trim_start_matches("::").trim_start_matches("std::");
            if text == "thread::sleep" || (imported && text == "sleep") {
                edits.replace(tokens::range(path.syntax()), SLEEP);
            }
        }
    }
    edits
}

/// What no call can stand in, and what is not the user's.
fn is_left_alone(node: &SyntaxNode) -> bool {
    ast::Const::can_cast(node.kind())
        || ast::Static::can_cast(node.kind())
        || ast::Fn::cast(node.clone()).is_some_and(|function| function.const_token().is_some())
        || ast::Module::cast(node.clone()).is_some_and(|module| module.name().is_some_and(|name| OWN.contains(&name.text())))
}

/// Where the turn of a loop begins that wants a look.
fn turn(node: &SyntaxNode) -> Option<usize> {
    let is_loop = |node: &SyntaxNode| ast::ForExpr::can_cast(node.kind()) || has_no_end(node);
    let (body, looked_at) = match ast::ForExpr::cast(node.clone()) {
        // What it goes through is made once.
        Some(all) => all.loop_body().map(|body| (body.clone(), body.syntax().clone()))?,
        None if has_no_end(node) => (ast::BlockExpr::cast(node.last_child()?)?, node.clone()),
        None => return None,
    };
    let calls = |node: SyntaxNode| {
        ast::CallExpr::can_cast(node.kind()) || ast::MethodCallExpr::can_cast(node.kind()) || ast::MacroCall::can_cast(node.kind())
    };
    let is_outermost = || !node.ancestors().skip(1).take_while(|above| !ast::Fn::can_cast(above.kind())).any(|above| is_loop(&above));
    if !looked_at.descendants().any(calls) || !(has_no_end(node) || is_outermost()) {
        return None;
    }
    Some(usize::from(body.stmt_list()?.l_curly_token()?.text_range().end()))
}

fn has_no_end(node: &SyntaxNode) -> bool {
    ast::LoopExpr::can_cast(node.kind()) || ast::WhileExpr::can_cast(node.kind())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(source: &str) -> String {
        edits(&tokens::parse(source)).apply(source).replace(POLL, "!").replace(SLEEP, "SLEEP")
    }

    #[test]
    fn a_look_stands_in_loops_that_call_something() {
        for (source, expected) in [
            ("fn f() { loop { g(); } }", "fn f() { loop {! g(); } }"),
            ("fn f() { while h() {} }", "fn f() { while h() {!} }"),
            (
                "fn f() { 'a: for x in y() { for z in x { print!(\"{z}\"); } } }",
                "fn f() { 'a: for x in y() {! for z in x { print!(\"{z}\"); } } }",
            ),
            ("fn f() { for x in y { while a.next() { b(); } } }", "fn f() { for x in y {! while a.next() {! b(); } } }"),
            ("fn f() { for i in 0..v.len() { s += v[i]; } loop {} }", "fn f() { for i in 0..v.len() { s += v[i]; } loop {} }"),
            ("const fn f() { loop { g(); } }", "const fn f() { loop { g(); } }"),
            ("mod evcxr_show { fn f() { loop { g(); } } }", "mod evcxr_show { fn f() { loop { g(); } } }"),
            (
                "fn f() { std::thread::sleep(d); thread::sleep(d); sleep(d); t::sleep(d) }",
                "fn f() { SLEEP(d); SLEEP(d); sleep(d); t::sleep(d) }",
            ),
            ("use std::thread::{self, sleep}; fn f() { sleep(d); }", "use std::thread::{self, sleep}; fn f() { SLEEP(d); }"),
        ] {
            assert_eq!(changed(source), expected);
        }
    }
}
