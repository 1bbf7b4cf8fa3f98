//! The macros of a crate → copies of all of them in front of its first item.
//!
//! evcxr keeps items in no order, and a macro is known only below the place where it is written.

use ra_ap_syntax::SyntaxKind;
use ra_ap_syntax::ast::{self, AstNode, HasModuleItem, HasName};

use crate::kernel::rewrite::edits::Edits;
use crate::kernel::rewrite::tokens;

/// The changes.
pub fn edits(file: &ast::SourceFile) -> Edits {
    let mut edits = Edits::default();
    let macros = file.items().filter_map(|item| if let ast::Item::MacroRules(item) = item { Some(item) } else { None });
    let copies = macros.filter_map(|item| {
        // Attributes stay with the original: two macros of one name cannot both be exported.
        let tree = item.token_tree()?;
        let end = if tree.syntax().text().char_at(0.into()) == Some('{') { "" } else { ";" };
        let copy = format!(" #[allow(unused_macros)] macro_rules! {} {}{end}", item.name()?.text(), tokens::one_line(tree.syntax()));
        // A string with a newline cannot be moved to another line; such a macro works below its place, as in a program.
        (!copy.contains('\n')).then_some(copy)
    });
    let head = file.syntax().children().filter(|node| node.kind() == SyntaxKind::ATTR).last();
    edits.insert(head.map_or(0, |attribute| tokens::range(&attribute).end), copies.collect::<String>());
    edits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macros_come_first_and_lines_stay() {
        let source = "#![allow(x)]\n#![feature(y)]\nfn f() -> i32 { ping!() }\n#[macro_export]\nmacro_rules! ping {\n // one\n () => { 1 };\n}\nmacro_rules! text { () => { \"a\nb\" } }\n";
        let changed = edits(&tokens::parse(source)).apply(source);
        assert_eq!(changed.lines().count(), source.lines().count());
        assert!(changed.starts_with("#![allow(x)]\n#![feature(y)] #[allow(unused_macros)] macro_rules! ping {"), "{changed}");
        assert!(
            changed.contains("\n#[macro_export]\nmacro_rules! ping {\n") && changed.matches("macro_rules! text").count() == 1,
            "{changed}"
        );
    }
}
