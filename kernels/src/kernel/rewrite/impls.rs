//! `impl` blocks of all cells → the same without those that a later cell has written anew.
//!
//! Of blocks with the same header those of the newest cell stay; of methods without a trait, each by its name. Which cell a
//! block is from is known by its text.

use ra_ap_syntax::SyntaxNode;
use ra_ap_syntax::ast::{self, AstNode, HasAttrs, HasModuleItem, HasName};

use crate::kernel::rewrite::edits::Edits;
use crate::kernel::rewrite::record::{BLOCK, Living};
use crate::kernel::rewrite::tokens;

/// Something that a crate may have once: a trait for a type, or a method of a type.
struct Unit {
    what: (u64, Option<String>),
    block: u64,
    cell: u64,
    node: SyntaxNode,
}

/// The cell of a block that its own cell no longer has.
const GONE: &str = "gone";

/// The running cell takes the place of an earlier one: what that had, and this one has not, is gone.
pub fn replace(earlier: u64, living: &Living, new: &mut Living) {
    for block in living.names(BLOCK, &earlier.to_string()) {
        if new.get(BLOCK, block).is_none() {
            new.set(BLOCK, block, GONE);
        }
    }
}

/// Notes the blocks of the cell with this number.
pub fn note(number: u64, cell: &ast::StmtList, new: &mut Living) {
    for block in cell.statements().filter_map(|statement| ast::Impl::cast(item_of(&statement)?)) {
        new.set(BLOCK, &text_hash(&block).to_string(), &number.to_string());
    }
}

/// The changes; `new` is what the running cell defines.
pub fn edits(file: &ast::SourceFile, living: &Living, new: &Living) -> Edits {
    let cell = |block: u64| {
        let name = block.to_string();
        new.get(BLOCK, &name).or_else(|| living.get(BLOCK, &name)).and_then(|number| number.parse().ok()).unwrap_or(0)
    };
    let is_gone = |block: u64| {
        let name = block.to_string();
        new.get(BLOCK, &name).or_else(|| living.get(BLOCK, &name)) == Some(GONE)
    };
    let (mut units, mut edits): (Vec<Unit>, Edits) = (Vec::new(), Edits::default());
    for block in file.items().filter_map(|item| if let ast::Item::Impl(block) = item { Some(block) } else { None }) {
        let (header, text) = (header(&block), text_hash(&block));
        if is_gone(text) {
            edits.replace(tokens::range(block.syntax()), "");
            continue;
        }
        let mut unit = |name: Option<String>, node: &SyntaxNode| {
            units.push(Unit { what: (header, name), block: text, cell: cell(text), node: node.clone() });
        };
        if is_conditional(&block) {
            continue;
        }
        if block.trait_().is_some() {
            unit(None, block.syntax());
            continue;
        }
        for item in block.assoc_item_list().into_iter().flat_map(|list| list.assoc_items()).filter(|item| !is_conditional(item)) {
            let name = match &item {
                ast::AssocItem::Fn(item) => item.name(),
                ast::AssocItem::Const(item) => item.name(),
                _ => None,
            };
            if let Some(name) = name {
                unit(Some(name.text().to_string()), item.syntax());
            }
        }
    }
    for (place, unit) in units.iter().enumerate() {
        let superseded = units.iter().enumerate().any(|(other_place, other)| {
            other.what == unit.what && (other.cell > unit.cell || (other.block == unit.block && other_place > place))
        });
        if superseded {
            edits.replace(tokens::range(&unit.node), "");
        }
    }
    edits
}

fn item_of(statement: &ast::Stmt) -> Option<SyntaxNode> {
    if let ast::Stmt::Item(item) = statement { Some(item.syntax().clone()) } else { None }
}

fn text_hash(block: &ast::Impl) -> u64 {
    tokens::hash(&tokens::tokens(block.syntax(), |_| false))
}

/// The hash of all that stands in front of the braces.
fn header(block: &ast::Impl) -> u64 {
    tokens::hash(&tokens::tokens(block.syntax(), |part| ast::AssocItemList::can_cast(part.kind()) || ast::Attr::can_cast(part.kind())))
}

/// Whether it depends on the platform if it is there at all.
fn is_conditional(node: &impl HasAttrs) -> bool {
    node.attrs().any(|attribute| tokens::attribute_name(&attribute) == "cfg")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_of(text: &str) -> ast::Impl {
        tokens::parse(text).syntax().descendants().find_map(ast::Impl::cast).unwrap()
    }

    #[test]
    fn the_newest_cell_counts() {
        let (first, second) = ("impl P { fn a() { 1 } fn b() { 1 } }", "impl P {\n fn a() { 2 }\n}");
        let (shown, again) = ("impl Show for P { fn s() { 1 } }", "impl Show for P { fn s() { 2 } }");
        let source = [second, again, first, shown, first, "impl Show for Q { fn s() {} }"].join("\n");
        let (mut living, mut new) = (Living::default(), Living::default());
        for (number, cell) in [(1, first), (2, shown), (3, second), (4, again)] {
            let statements = tokens::items_of_cell(cell).unwrap();
            note(number, &statements, if number == 4 { &mut new } else { &mut living });
        }
        let left = edits(&tokens::parse(&source), &living, &new).apply(&source);
        let squeezed = left.split_whitespace().collect::<Vec<_>>().join(" ");
        let expected =
            "impl P { fn a() { 2 } } impl Show for P { fn s() { 2 } } impl P { } impl P { fn b() { 1 } } impl Show for Q { fn s() {} }";
        assert_eq!(squeezed, expected);
        assert_eq!(left.lines().count(), source.lines().count());
        // The first cell again: what it had is back.
        note(5, &tokens::items_of_cell(first).unwrap(), &mut new);
        let left = edits(&tokens::parse(&source), &living, &new).apply(&source);
        assert!(left.contains("fn a() { 1 }") && !left.contains("fn a() { 2 }"), "{left}");
        // A cell in the place of an earlier one: a method that it no longer has is gone.
        let mut living = living.clone();
        living.set(BLOCK, &text_hash(&block_of(first)).to_string(), "1");
        let mut new = Living::default();
        note(6, &tokens::items_of_cell(second).unwrap(), &mut new);
        replace(1, &living, &mut new);
        let left = edits(&tokens::parse(&format!("{first}\n{second}")), &living, &new).apply(&format!("{first}\n{second}"));
        assert_eq!(left.trim(), second);
        // Twice in one cell stays the error that it is.
        let twice = "impl P { fn a() { 1 } } impl P { fn a() { 2 } }";
        assert_eq!(edits(&tokens::parse(twice), &Living::default(), &Living::default()).apply(twice), twice);
    }
}
