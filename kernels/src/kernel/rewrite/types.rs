//! The types and traits of a crate → those that were changed in modules of their own.
//!
//! rustc tells types of one name and one place apart in no way: a `Box<dyn Any>` of an earlier cell would be read as the new one.
//! In another module a type is another one. The first form of a type stays where it is, and so does a form that it has again.

use ra_ap_syntax::SyntaxNode;
use ra_ap_syntax::ast::{self, AstNode, HasModuleItem, HasName, HasVisibility};

use crate::kernel::rewrite::edits::Edits;
use crate::kernel::rewrite::items::Items;
use crate::kernel::rewrite::polls::OWN;
use crate::kernel::rewrite::record::{Living, TYPE};
use crate::kernel::rewrite::tokens;

/// Begins the name of a module with a changed type.
const MODULE: &str = "evcxr_type_";
/// How far a private thing can be seen from in its own module.
const SEEN: &str = "pub(super) ";

/// The changes; notes in `new` the form of each type that is seen for the first time.
pub fn edits(file: &ast::SourceFile, items: &Items, living: &Living, new: &mut Living) -> Edits {
    let mut edits = Edits::default();
    let mut open: Vec<(String, ast::Item)> = file.items().map(|item| (String::new(), item)).collect();
    while let Some((place, item)) = open.pop() {
        let named = match &item {
            ast::Item::Module(module) => {
                let name = module.name().map(|name| name.text().to_string()).unwrap_or_default();
                let inner = module.item_list().into_iter().filter(|_| !OWN.contains(&name.as_str())).flat_map(|list| list.items());
                open.extend(inner.map(|item| (format!("{place}{name}::"), item)));
                continue;
            }
            ast::Item::Struct(item) => Type::of(item, item.struct_token().map(|word| word.text_range().start()), fields(item.field_list())),
            ast::Item::Union(item) => {
                let fields = item.record_field_list().map(ast::FieldList::RecordFieldList);
                Type::of(item, item.union_token().map(|word| word.text_range().start()), self::fields(fields))
            }
            ast::Item::Enum(item) => Type::of(item, item.enum_token().map(|word| word.text_range().start()), Vec::new()),
            ast::Item::Trait(item) => {
                let word = item.unsafe_token().or(item.trait_token());
                Type::of(item, word.map(|word| word.text_range().start()), Vec::new())
            }
            _ => None,
        };
        let Some(found) = named else { continue };
        let (path, key) = (format!("{place}{}", found.name), format!("{:x}", items.key_of_type(&found.name)));
        match living.get(TYPE, &path) {
            None => new.set(TYPE, &path, &key),
            Some(first) if first == key => {}
            Some(_) => found.set_apart(&key, &mut edits),
        }
    }
    edits
}

/// A type or a trait.
struct Type {
    name: String,
    visible: Option<String>,
    /// Where private things are named: itself, and its fields.
    private: Vec<usize>,
    node: SyntaxNode,
}

impl Type {
    fn of(item: &(impl HasName + HasVisibility), word: Option<ra_ap_syntax::TextSize>, fields: Vec<usize>) -> Option<Type> {
        let visible = item.visibility().map(|part| part.to_string());
        let itself = word.filter(|_| visible.is_none()).map(usize::from);
        let name = tokens::plain(item.name()?.text());
        Some(Type { name, visible, private: itself.into_iter().chain(fields).collect(), node: item.syntax().clone() })
    }

    fn set_apart(self, key: &str, edits: &mut Edits) {
        let Type { name, visible, private, node } = self;
        let (range, module) = (tokens::range(&node), format!("{MODULE}{key}"));
        edits.insert(range.start, format!("#[allow(unused, private_interfaces, private_bounds)] mod {module} {{ use super::*; "));
        private.into_iter().for_each(|place| edits.insert(place, SEEN));
        let visible = visible.map(|visible| visible + " ").unwrap_or_default();
        edits.insert(range.end, format!(" }} #[allow(unused_imports)] {visible}use {module}::{name};"));
    }
}

/// Where the fields begin that are private.
fn fields(list: Option<ast::FieldList>) -> Vec<usize> {
    match list {
        Some(ast::FieldList::RecordFieldList(list)) => {
            let private = list.fields().filter(|field| field.visibility().is_none());
            private.filter_map(|field| Some(usize::from(field.name()?.syntax().text_range().start()))).collect()
        }
        Some(ast::FieldList::TupleFieldList(list)) => {
            let private = list.fields().filter(|field| field.visibility().is_none());
            private.filter_map(|field| Some(usize::from(field.ty()?.syntax().text_range().start()))).collect()
        }
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn rewritten(source: &str, living: &Living) -> (String, Living) {
        let (file, mut new) = (tokens::parse(source), Living::default());
        let text = edits(&file, &Items::of(&file, HashMap::new()), living, &mut new).apply(source);
        (text, new)
    }

    #[test]
    fn a_type_that_was_changed_is_in_a_module_of_its_own() {
        let first = "/// é\nstruct P<T> {\n x: T,\n pub y: u8 }\nmod m { pub struct Q(In, pub u8); }\nstruct In;\nenum E { A(u8) }\npub trait Tr { fn f(); }";
        let (text, living) = rewritten(first, &Living::default());
        assert_eq!(text, first);
        assert_eq!(rewritten(first, &living), (first.into(), Living::default()));
        let second = first.replace("In;", "In(u64);").replace("y: u8", "y: u16").replace("A(u8)", "A").replace("f();", "g();");
        let (text, new) = rewritten(&second, &living);
        assert_eq!((text.lines().count(), &new), (second.lines().count(), &Living::default()));
        let squeezed = text.replace("#[allow(unused, private_interfaces, private_bounds)] ", "").replace("#[allow(unused_imports)] ", "");
        for expected in [
            " { use super::*; /// é\npub(super) struct P<T> {\n pub(super) x: T,\n pub y: u16 } } use evcxr_type_",
            "mod m { mod evcxr_type_",
            " { use super::*; pub struct Q(pub(super) In, pub u8); } pub use evcxr_type_",
            "pub(super) struct In(pub(super) u64); } use",
            "pub(super) enum E { A }",
            "pub trait Tr { fn g(); } } pub use evcxr_type_",
        ] {
            assert!(squeezed.contains(expected), "{expected}: {squeezed}");
        }
        // Again as it was.
        assert_eq!(rewritten(first, &living).0, first);
    }
}
