//! The lines by which evcxr keeps variables → the same with the key of each type, and a store that looks at it.
//!
//! evcxr tells types apart by their names, so a type that was changed looks like the old one. The store of
//! `assets/child/store.rs` keeps a value under its type and a key of all that the type is made of; another key is another type.

use ra_ap_syntax::ast::{self, AstNode, HasModuleItem, HasName};

use crate::kernel::rewrite::edits::Edits;
use crate::kernel::rewrite::items::Items;
use crate::kernel::rewrite::record::{Living, VARIABLE};
use crate::kernel::rewrite::tokens;

const STORE: &str = include_str!("../../../assets/child/store.rs");
const MODULE: &str = "evcxr_internal_runtime";
const OBJECT: &str = "evcxr_variable_store";
const PUT: &str = ".put_variable::<";
const CALLS: [&str; 3] = [PUT, ".check_variable::<", ".take_variable::<"];
/// What stands between the type and the name.
const NAMED: &str = ">(stringify!(";

/// The changes, and what follows from them.
#[derive(Debug, Default)]
pub struct Variables {
    pub edits: Edits,
    /// The names of those that are not read since their type is another one now, each with its type.
    pub lost: Vec<(String, String)>,
}

/// Nothing when the crate keeps no variables; adds to `new` the keys of those that it keeps.
pub fn variables(source: &str, file: &ast::SourceFile, items: &Items, living: &Living, new: &mut Living) -> Variables {
    let mut found = Variables::default();
    let is_store = |item: ast::Item| match item {
        ast::Item::Module(module) if module.name().is_some_and(|name| name.text() == MODULE) => module.item_list(),
        _ => None,
    };
    let Some(store) = file.items().find_map(is_store) else { return found };
    let text = tokens::one_line(tokens::parse(STORE).syntax());
    found.edits.replace(tokens::range(store.syntax()), format!("{{ {} }}", text.trim()));
    let code = usize::from(store.syntax().text_range().end());
    for (place, _) in source[code..].match_indices(OBJECT) {
        let start = code + place + OBJECT.len();
        let Some(call) = CALLS.iter().find(|call| source[start..].starts_with(**call)) else { continue };
        let kind = start + call.len();
        let Some((text, name)) = source[kind..].split_once(NAMED).and_then(|(text, rest)| Some((text, rest.split_once(')')?.0))) else {
            continue;
        };
        let key = format!("{:#x}", items.key_of_type(text));
        if *call == PUT {
            new.set(VARIABLE, name, &key);
        } else if living.get(VARIABLE, name).is_some_and(|living| living != key) {
            found.lost.push((name.to_string(), text.to_string()));
        }
        found.edits.insert(kind + text.len(), format!(", {key}"));
    }
    found
}
