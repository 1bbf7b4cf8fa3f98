//! The lines by which evcxr keeps variables → the same with the key of each type, and a store that looks at it.
//!
//! evcxr tells types apart by their names, so a type that was changed looks like the old one. The store of
//! `assets/child/store.rs` keeps a value under its type and a key of all that the type is made of; another key is another type.

use std::collections::HashSet;
use std::ops::Range;

use ra_ap_syntax::ast::{self, AstNode, HasModuleItem, HasName};

use crate::kernel::rewrite::edits::Edits;
use crate::kernel::rewrite::items::Items;
use crate::kernel::rewrite::record::{Living, VARIABLE};
use crate::kernel::rewrite::tokens;

const STORE: &str = include_str!("../../../assets/child/store.rs");
const MODULE: &str = "evcxr_internal_runtime";
const OBJECT: &str = "evcxr_variable_store";
const PUT: &str = ".put_variable::<";
const TAKE: &str = ".take_variable::<";
const CALLS: [&str; 3] = [PUT, ".check_variable::<", TAKE];
/// What stands between the type and the name.
const NAMED: &str = ">(stringify!(";

/// The changes, and what follows from them.
#[derive(Debug, Default)]
pub struct Variables {
    pub edits: Edits,
    /// Further ones: what the cell does not name is not taken and handed back, so that no cell can lose it.
    pub untouched: Edits,
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
    let named = names(&source[code..]);
    for (place, _) in source[code..].match_indices(OBJECT) {
        let start = code + place + OBJECT.len();
        let Some(call) = CALLS.iter().find(|call| source[start..].starts_with(**call)) else { continue };
        let kind = start + call.len();
        let Some((text, name)) = source[kind..].split_once(NAMED).and_then(|(text, rest)| Some((text, rest.split_once(')')?.0))) else {
            continue;
        };
        let line = line_around(source, start);
        if [PUT, TAKE].contains(call) && !named.contains(name) {
            found.untouched.replace(line, "");
        }
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

/// The words of the cell, those in strings among them, since `println!("{x}")` reads `x`; what evcxr adds for a variable does not
/// count.
fn names(code: &str) -> HashSet<&str> {
    let is_own = |line: &&str| CALLS.iter().any(|call| line.contains(&format!("{OBJECT}{call}")));
    let words = |line| str::split(line, |char: char| !(char.is_alphanumeric() || char == '_'));
    code.lines().filter(|line| !is_own(line)).flat_map(words).collect()
}

/// The line with a place.
fn line_around(source: &str, place: usize) -> Range<usize> {
    let start = source[..place].rfind('\n').map_or(0, |end| end + 1);
    start..source[place..].find('\n').map_or(source.len(), |end| place + end)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn what_a_cell_does_not_name_stays_in_the_store() {
        let call = |form: &str, name: &str| format!("evcxr_variable_store.{form}_variable::<u8>(stringify!({name})");
        let lines: Vec<String> = ["in_text", "used", "left"]
            .iter()
            .map(|name| format!("vars_ok &= {});\nlet mut {name} = {});\n", call("check", name), call("take", name)))
            .collect();
        let put = ["in_text", "used", "left", "new"].map(|name| format!("{}, {name});\n", call("put", name))).concat();
        let source = format!(
            "mod evcxr_internal_runtime {{ old }}\nfn run() {{\n{}let new = used; print!(\"{{in_text}}\");\n{put}}}",
            lines.concat()
        );
        let file = tokens::parse(&source);
        let found = variables(&source, &file, &Items::of(&file, HashMap::new()), &Living::default(), &mut Living::default());
        let mut all = found.untouched;
        all.add(&found.edits);
        let (whole, changed) = (found.edits.apply(&source), all.apply(&source));
        let count = |text: &str, name: &str| text.matches(&format!("stringify!({name})")).count();
        assert_eq!(["in_text", "used", "left", "new"].map(|name| count(&whole, name)), [3, 3, 3, 1]);
        assert_eq!(["in_text", "used", "left", "new"].map(|name| count(&changed, name)), [3, 3, 1, 1], "{changed}");
        assert_eq!(changed.lines().count(), source.lines().count());
    }
}
