//! Calls of `evcxr_display` → the same between two marks: what a library prints meanwhile may be a content block.
//!
//! Evcxr's libraries print a block as text, which anybody can. It counts while a value is displayed, and at no other time.

use ra_ap_syntax::ast::{self, AstNode, HasArgList, HasName};

use crate::kernel::rewrite::edits::Edits;
use crate::kernel::rewrite::polls::OWN;
use crate::kernel::rewrite::tokens;

const DISPLAY: &str = "evcxr_display";
const OPEN: &str = "crate::evcxr_show::shown(crate::evcxr_show::shows(";

/// The changes.
pub fn edits(file: &ast::SourceFile) -> Edits {
    let mut edits = Edits::default();
    for call in file.syntax().descendants().filter_map(ast::MethodCallExpr::cast) {
        let is_own = |module: ast::Module| module.name().is_some_and(|name| OWN.contains(&name.text()));
        let is_display = call.name_ref().is_some_and(|name| name.text() == DISPLAY)
            && call.arg_list().is_some_and(|arguments| arguments.args().next().is_none())
            && !call.syntax().ancestors().filter_map(ast::Module::cast).any(is_own);
        let Some(value) = call.receiver().filter(|_| is_display) else { continue };
        let (value_range, range) = (tokens::range(value.syntax()), tokens::range(call.syntax()));
        // One reference more would find the prelude's display before the type's own.
        edits.insert(value_range.start, if is_reference(&value) { OPEN.to_string() } else { format!("{OPEN}&") });
        edits.insert(value_range.end, ")");
        edits.insert(range.end, ")");
    }
    edits
}

fn is_reference(value: &ast::Expr) -> bool {
    match value {
        ast::Expr::RefExpr(_) => true,
        ast::Expr::ParenExpr(inner) => inner.expr().is_some_and(|inner| is_reference(&inner)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_display_stands_between_two_marks() {
        let changed = |source: &str| edits(&tokens::parse(source)).apply(source).replace(OPEN, "<<");
        for (source, expected) in [
            ("fn f() { (\nx()\n).evcxr_display(); }", "fn f() { <<&(\nx()\n)).evcxr_display()); }"),
            ("fn f() { (&(x)).evcxr_display(); }", "fn f() { <<(&(x))).evcxr_display()); }"),
            ("fn f() { y.evcxr_display(1); }", "fn f() { y.evcxr_display(1); }"),
            ("mod evcxr_show { fn f() { x.evcxr_display(); } }", "mod evcxr_show { fn f() { x.evcxr_display(); } }"),
        ] {
            assert_eq!(changed(source), expected);
        }
    }
}
