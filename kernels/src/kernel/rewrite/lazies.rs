//! Calls of `thread_local!` and `lazy_static!` in a cell → the statics that they stand for, each on its line.
//!
//! evcxr takes a call of a macro for a statement, so what it defines would be gone with the cell.

use ra_ap_syntax::ast::{self, AstNode, HasAttrs, HasModuleItem, HasName};
use ra_ap_syntax::{NodeOrToken, SyntaxKind, TextRange};

use crate::kernel::rewrite::edits::Edits;
use crate::kernel::rewrite::tokens;
use crate::syntax::Statements;

/// How a macro's statics are written out.
struct Form {
    names: [&'static str; 3],
    kind: &'static str,
    /// What stands around the value of the static with a name and a type.
    around: fn(&str, &str) -> (String, String),
}

const FORMS: [Form; 2] = [
    Form {
        names: ["thread_local", "std::thread_local", "::std::thread_local"],
        kind: "::std::thread::LocalKey",
        around: |name, kind| (format!("{{ ::std::thread_local! {{ static {name}: {kind} = "), format!("; }} {name} }}")),
    },
    Form {
        names: ["lazy_static", "lazy_static::lazy_static", "::lazy_static::lazy_static"],
        kind: "::std::sync::LazyLock",
        around: |_, _| ("::std::sync::LazyLock::new(|| ".into(), ")".into()),
    },
];

/// Whether a macro's statics are written out, if it holds nothing else.
pub fn knows(name: &str) -> bool {
    FORMS.iter().any(|form| form.names.contains(&name))
}

/// The changes of a cell.
pub fn edits(cell: &ast::StmtList, edits: &mut Edits) {
    for call in cell.syntax().descendants().filter_map(ast::MacroCall::cast) {
        let name = call.path().map(|path| path.to_string()).unwrap_or_default();
        if let Some(form) = FORMS.iter().find(|form| form.names.contains(&name.as_str())) {
            let mut own = Edits::default();
            if write_out(&call, form, &mut own).is_some() {
                edits.add(&own);
            }
        }
    }
}

/// None when the macro holds anything but statics.
fn write_out(call: &ast::MacroCall, form: &Form, edits: &mut Edits) -> Option<()> {
    let tree = call.token_tree()?;
    let (whole, braces) = (Statements::range(call), Statements::range(&tree));
    let text = tree.syntax().text().to_string().replace("static ref ", "static     ");
    let inner = tokens::parse(text.get(1..text.len().checked_sub(1)?)?);
    for item in inner.items() {
        let ast::Item::Static(item) = item else { return None };
        let (name, kind, value) = (item.name()?, item.ty()?, item.body()?);
        if item.attrs().any(|attribute| tokens::attribute_name(&attribute) == "cfg") {
            return None;
        }
        let place = |range: TextRange| braces.start + 1 + usize::from(range.start())..braces.start + 1 + usize::from(range.end());
        let (kind_at, value_at) = (place(kind.syntax().text_range()), place(value.syntax().text_range()));
        let (before, after) = (form.around)(name.text(), &tokens::one_line(kind.syntax()));
        edits.insert(kind_at.start, format!("{}<", form.kind));
        edits.insert(kind_at.end, ">");
        edits.insert(value_at.start, before);
        edits.insert(value_at.end, if item.semicolon_token().is_some() { after } else { after + ";" });
        if let Some(word) = item.syntax().children_with_tokens().find(|part| part.kind() == SyntaxKind::STATIC_KW) {
            let after = place(word.text_range()).end;
            if tree.syntax().text().to_string()[after - braces.start..].starts_with(" ref ") {
                edits.replace(after..after + 4, "");
            }
        }
    }
    edits.replace(whole.start..braces.start + 1, "");
    // A semicolon behind the call would be a statement of its own.
    let next = call.syntax().parent()?.next_sibling_or_token().into_iter().chain(call.syntax().next_sibling_or_token());
    let semicolon = next.filter_map(NodeOrToken::into_token).find(|token| token.kind() == SyntaxKind::SEMICOLON);
    let end = semicolon.map_or(whole.end, |token| whole.end + usize::from(token.text_range().end() - call.syntax().text_range().end()));
    edits.replace(braces.end - 1..end, "");
    Some(())
}
