//! The cells that ran, and the variables that a cell lost → the cells that make those again, in their order.
//!
//! A cell makes the variables of its `let` lines. To make one again takes the cell that made it, those that made what it read,
//! and those that changed it since.

use std::collections::{BTreeSet, HashMap};

use ra_ap_syntax::ast;
use ra_ap_syntax::{AstNode, SyntaxKind, SyntaxNode};

use crate::kernel::messages::directive;
use crate::kernel::messages::moves;
use crate::syntax;

/// Methods that only look.
const LOOKS: [&str; 16] = [
    "len",
    "is_empty",
    "iter",
    "clone",
    "get",
    "contains",
    "contains_key",
    "keys",
    "values",
    "first",
    "last",
    "as_str",
    "to_string",
    "chars",
    "lines",
    "load",
];

/// A cell that ran to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    pub number: usize,
    pub code: String,
    /// The numbers of the cells that made or changed what it names.
    needs: BTreeSet<usize>,
}

impl Ran {
    /// Its number and its first line with code.
    pub fn title(&self) -> String {
        let line = self.code.lines().map(str::trim).find(|line| !(line.is_empty() || line.starts_with("//"))).unwrap_or_default();
        let short: String = line.chars().take(60).collect();
        format!("[{}] {short}{}", self.number, if short.len() < line.len() { "…" } else { "" })
    }
}

/// What made the variables of a session.
#[derive(Debug, Default)]
pub struct Again {
    ran: Vec<Ran>,
    /// The cells that made and changed each variable.
    made_by: HashMap<String, BTreeSet<usize>>,
    /// The variables that were lost and are not there again.
    lost: BTreeSet<String>,
}

impl Again {
    /// Cell `number` ran to its end, and these are the variables now.
    pub fn note<'a>(&mut self, number: usize, code: &str, now: impl Iterator<Item = &'a str>) {
        let now: BTreeSet<&str> = now.collect();
        let made: Vec<String> = moves::defined(code).into_iter().filter(|name| now.contains(name.as_str())).collect();
        let changed = changed(code);
        let needs = self.made_by.iter().filter(|(name, _)| reads(name, code)).flat_map(|(_, cells)| cells.iter().copied()).collect();
        for name in &changed {
            if let Some(cells) = self.made_by.get_mut(name) {
                cells.insert(number);
            }
        }
        for name in &made {
            self.lost.remove(name);
            self.made_by.insert(name.clone(), BTreeSet::from([number]));
        }
        let ran = Ran { number, code: code.into(), needs };
        match self.ran.iter_mut().find(|ran| ran.number == number) {
            // It ran again in its own place.
            Some(place) => *place = ran,
            None => self.ran.push(ran),
        }
    }

    /// These variables are gone, and nobody gave them away.
    pub fn lose(&mut self, names: impl IntoIterator<Item = String>) {
        let known = names.into_iter().filter(|name| self.made_by.contains_key(name));
        self.lost.extend(known);
    }

    /// Nothing is to be made again: the user wanted a new beginning.
    pub fn clear(&mut self) {
        *self = Again::default();
    }

    /// The cells that make the lost variables again, in the order in which they ran.
    pub fn cells(&self) -> Vec<Ran> {
        let mut open: Vec<usize> = self.lost.iter().filter_map(|name| self.made_by.get(name)).flatten().copied().collect();
        let mut wanted = BTreeSet::new();
        while let Some(number) = open.pop() {
            if wanted.insert(number) {
                open.extend(self.ran.iter().filter(|ran| ran.number == number).flat_map(|ran| ran.needs.iter().copied()));
            }
        }
        self.ran.iter().filter(|ran| wanted.contains(&ran.number)).cloned().collect()
    }

    /// The offer for the end of an error; nothing when there is nothing to run again.
    pub fn offer(&self) -> Vec<String> {
        let cells = self.cells();
        if cells.is_empty() {
            return Vec::new();
        }
        let mut lines = vec!["to run the cells again that made what is lost: :rerun".to_string()];
        lines.extend(cells.iter().map(|cell| format!("  {}", cell.title())));
        lines
    }
}

/// Whether a cell names a variable of an earlier cell, and not only its own of that name.
fn reads(name: &str, cell: &str) -> bool {
    let Ok(statements) = syntax::parse(&directive::rust(cell)) else { return moves::mentions(name, cell) };
    for statement in statements.list().syntax().children() {
        let own =
            ast::LetStmt::cast(statement.clone()).filter(|line| line.pat().is_some_and(|own| moves::mentions(name, &own.to_string())));
        match own {
            // What it is made of comes first.
            Some(own) => return own.initializer().is_some_and(|value| moves::mentions(name, &value.to_string())),
            None if moves::mentions(name, &statement.to_string()) => return true,
            None => {}
        }
    }
    false
}

/// The variables that a cell may change: by an assignment, through `&mut`, or by a method that does more than look.
fn changed(cell: &str) -> BTreeSet<String> {
    let Ok(statements) = syntax::parse(&directive::rust(cell)) else { return BTreeSet::new() };
    statements.list().syntax().descendants().filter_map(|node| root(&changed_part(&node)?)).collect()
}

fn changed_part(node: &SyntaxNode) -> Option<ast::Expr> {
    if let Some(call) = ast::MethodCallExpr::cast(node.clone()) {
        return call.receiver().filter(|_| call.name_ref().is_none_or(|name| !LOOKS.contains(&name.text())));
    }
    if let Some(reference) = ast::RefExpr::cast(node.clone()) {
        return reference.expr().filter(|_| reference.mut_token().is_some());
    }
    let parts = ast::BinExpr::cast(node.clone())?;
    parts.lhs().filter(|_| matches!(parts.op_kind(), Some(ast::BinaryOp::Assignment { .. })))
}

/// The variable that a place is in: `a` of `a.b[0].c`.
fn root(place: &ast::Expr) -> Option<String> {
    let mut node = place.syntax().clone();
    loop {
        match node.kind() {
            SyntaxKind::PATH_EXPR => return Some(node.text().to_string()),
            SyntaxKind::FIELD_EXPR | SyntaxKind::INDEX_EXPR | SyntaxKind::PAREN_EXPR | SyntaxKind::PREFIX_EXPR => {
                node = node.first_child()?
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A session of cells, each with the variables after it.
    fn session(cells: &[(&str, &[&str])]) -> Again {
        let mut again = Again::default();
        for (place, (code, now)) in cells.iter().enumerate() {
            again.note(place + 1, code, now.iter().copied());
        }
        again
    }

    fn numbers(again: &Again) -> Vec<usize> {
        again.cells().iter().map(|cell| cell.number).collect()
    }

    #[test]
    fn what_made_and_changed_a_variable_runs_again_and_nothing_else() {
        let mut again = session(&[
            ("let a = 1;", &["a"]),
            ("let b = 2;", &["a", "b"]),
            ("// doc\nlet mut c = vec![a];", &["a", "b", "c"]),
            ("println!(\"{}\", c.len() + b);", &["a", "b", "c"]),
            ("c.push(b);", &["a", "b", "c"]),
            ("let d = 1;", &["a", "b", "c", "d"]),
        ]);
        assert!(again.offer().is_empty());
        again.lose(["c".to_string(), "not known".into()]);
        assert_eq!(numbers(&again), [1, 2, 3, 5]);
        assert_eq!(again.offer()[3], "  [3] let mut c = vec![a];");
        // In its own place.
        again.note(3, "let mut c = vec![a];", ["a", "b", "c", "d"].into_iter());
        assert!(again.offer().is_empty());
        again.lose(["b".to_string(), "c".into()]);
        assert_eq!(numbers(&again), [1, 2, 3]);
        // Made again by hand.
        again.note(7, "let c = 1; let b = 1;", ["a", "b", "c", "d"].into_iter());
        assert!(again.offer().is_empty());
        again.lose(["c".to_string()]);
        assert_eq!(numbers(&again), [7]);
        again.clear();
        assert!(again.cells().is_empty());
    }

    #[test]
    fn what_may_change_is_found() {
        let found = changed("a.b[0].c = 1; *d += 1; f(&mut (e.x)); g.push(1); h + i; &j; k[0]; l().m(); n.len();");
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["a", "d", "e", "g"]);
    }

    #[test]
    fn an_own_variable_is_not_one_of_an_earlier_cell() {
        for (cell, expected) in
            [("let a = 1; a.x();", false), ("let b = 1; f(a);", true), ("let a = a + 1;", true), ("g(a); let a = 1;", true), ("a", true)]
        {
            assert_eq!(reads("a", cell), expected, "{cell}");
        }
    }

    #[test]
    fn a_long_line_is_cut() {
        let again = session(&[(&format!("let a = {};", "1 + ".repeat(30)), &["a"])]);
        assert!(again.ran[0].title().ends_with('…') && again.ran[0].title().chars().count() < 70);
    }
}
