//! The text of a cell → a text of which evcxr keeps every item, line by line the same.
//!
//! evcxr keeps items by name, one of each, and takes imports apart. What that would lose is written so that it stays: an import
//! of all in a list, a derive macro beside the trait of its name, and the one of two items whose condition holds.

use std::collections::{BTreeSet, HashMap};

use notebooks::scan;
use ra_ap_syntax::ast::{self, AstNode, HasName};
use ra_ap_syntax::{SyntaxKind, SyntaxNode};

use crate::kernel::rewrite::condition;
use crate::kernel::rewrite::edits::Edits;
use crate::kernel::rewrite::{calls, lazies, tokens};
use crate::syntax::{self, Statements};

/// A part of an import that brings one name, or all.
struct Leaf {
    tree: ast::UseTree,
    /// The import that it is a part of.
    whole: usize,
    path: String,
    /// None for all names.
    name: Option<String>,
}

/// The text; a cell that is no Rust is left as it is. `earlier` are the cells whose macros it may call, the newest last.
pub fn kept_whole(cell: &str, earlier: &[String]) -> String {
    changed(cell, |statements, edits| {
        let items: Vec<ast::Item> =
            statements.statements().filter_map(|statement| if let ast::Stmt::Item(item) = statement { Some(item) } else { None }).collect();
        imports(&items, edits);
        twins(&items, edits);
        lazies::edits(statements, edits);
        let is_open = |name: &str| !lazies::knows(name);
        calls::keep(statements, &is_open, &|name| definition(name, statements.syntax(), earlier), edits);
    })
}

/// The macros of dependencies that the cell calls in the place of statements.
pub fn macros_of_others(cell: &str, earlier: &[String]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    changed(cell, |statements, _| {
        found = calls::of_others(statements, &|name| definition(name, statements.syntax(), earlier));
    });
    found
}

/// The items of the cell, and calls of this macro in the place of items.
pub fn with_items_of(cell: &str, name: &str) -> String {
    changed(cell, |statements, edits| calls::try_one(statements, name, edits))
}

/// The text with the calls of these macros of dependencies, which make items, so that evcxr keeps them.
pub fn with_items_kept(cell: &str, made: &BTreeSet<String>) -> String {
    if made.is_empty() { cell.into() } else { changed(cell, |statements, edits| calls::keep_those(statements, made, edits)) }
}

fn changed(cell: &str, change: impl FnOnce(&ast::StmtList, &mut Edits)) -> String {
    let head = scan::head_lines(cell);
    let blank: Vec<String> =
        cell.split('\n').enumerate().map(|(line, text)| if line < head { " ".repeat(text.len()) } else { text.into() }).collect();
    let Ok(statements) = syntax::parse(&blank.join("\n")) else { return cell.into() };
    let mut edits = Edits::default();
    change(statements.list(), &mut edits);
    if edits.is_empty() { cell.into() } else { edits.apply(cell) }
}

/// The macro with a name, of this cell or the newest that has it.
fn definition(name: &str, cell: &SyntaxNode, earlier: &[String]) -> Option<ast::MacroRules> {
    let find = |node: &SyntaxNode| {
        let all = node.descendants().filter_map(ast::MacroRules::cast);
        all.filter(|own| own.name().is_some_and(|own| own.text() == name)).last()
    };
    let of = |text: &String| {
        // Most cells have none, and need not be read.
        let has_one = text.contains("macro_rules!") && text.contains(name);
        has_one.then(|| tokens::items_of_cell(text)).flatten().and_then(|cell| find(cell.syntax()))
    };
    find(cell).or_else(|| earlier.iter().rev().find_map(of))
}

/// Of items with one name, those whose condition does not hold go.
fn twins(items: &[ast::Item], edits: &mut Edits) {
    let mut named: HashMap<String, Vec<&ast::Item>> = HashMap::new();
    for item in items {
        let name = item.syntax().children().find_map(ast::Name::cast).map(|name| name.text().to_string());
        named.entry(name.unwrap_or_default()).or_default().push(item);
    }
    for item in named.into_iter().filter(|(name, twins)| !name.is_empty() && twins.len() > 1).flat_map(|(_, twins)| twins) {
        if condition::leaves_out(item) {
            edits.replace(Statements::range(item), "");
        }
    }
}

fn imports(items: &[ast::Item], edits: &mut Edits) {
    let wholes: Vec<&ast::Use> = items.iter().filter_map(|item| if let ast::Item::Use(item) = item { Some(item) } else { None }).collect();
    let leaves: Vec<Leaf> = wholes.iter().enumerate().flat_map(|(whole, import)| leaves(whole, import)).collect();
    let mut added: Vec<(usize, String)> = Vec::new();
    for (place, leaf) in leaves.iter().enumerate() {
        let text = match &leaf.name {
            // evcxr does not see a `*` without a path.
            None if leaf.tree.path().is_none() && !leaf.path.is_empty() => format!(" use {}::*;", leaf.path),
            Some(name) if leaves[place + 1..].iter().any(|later| later.name.as_ref() == Some(name) && later.path != leaf.path) => {
                let rename = leaf.tree.rename().map(|rename| format!(" {rename}")).unwrap_or_default();
                format!(
                    " #[allow(unused_imports)] mod evcxr_import_{name} {{ use super::*; pub use {}{rename}; }} #[allow(unused_imports)] use evcxr_import_{name}::*;",
                    leaf.path
                )
            }
            _ => continue,
        };
        added.push((leaf.whole, text));
        let piece = Statements::range(&leaf.tree);
        let comma = leaf.tree.syntax().siblings_with_tokens(ra_ap_syntax::Direction::Next).skip(1).find(|next| !next.kind().is_trivia());
        match comma.filter(|next| next.kind() == SyntaxKind::COMMA) {
            Some(comma) => {
                let offset = usize::from(leaf.tree.syntax().text_range().end()) - piece.end;
                edits.replace(piece.start..usize::from(comma.text_range().end()) - offset, "");
            }
            None if is_in_list(&leaf.tree) => edits.replace(piece, ""),
            None => edits.replace(Statements::range(wholes[leaf.whole]), ""),
        }
    }
    for (whole, text) in added {
        edits.insert(Statements::range(wholes[whole]).end, text);
    }
}

fn is_in_list(tree: &ast::UseTree) -> bool {
    tree.syntax().parent().is_some_and(|parent| ast::UseTreeList::can_cast(parent.kind()))
}

fn leaves(whole: usize, import: &ast::Use) -> Vec<Leaf> {
    let ends = import.syntax().descendants().filter_map(ast::UseTree::cast).filter(|tree| tree.use_tree_list().is_none());
    let leaf = |tree: ast::UseTree| {
        let above = tree.syntax().ancestors().filter_map(ast::UseTree::cast).filter_map(|tree| tree.path());
        let mut parts: Vec<String> = above.map(|path| path.to_string()).collect();
        parts.reverse();
        let path = parts.join("::");
        let last = path.rsplit("::").next().map(str::to_string);
        let name = match (tree.star_token(), tree.rename()) {
            (Some(_), _) => None,
            (None, Some(rename)) => rename.name().map(|name| name.text().to_string()),
            (None, None) => last,
        };
        Leaf { tree, whole, path, name }
    };
    // `as _` and `self` bring no name of their own.
    ends.map(leaf).filter(|leaf| leaf.tree.star_token().is_some() || leaf.name.as_ref().is_some_and(|name| name != "self")).collect()
}

#[cfg(test)]
mod tests {
    use super::kept_whole as kept_whole_after;

    fn kept_whole(cell: &str) -> String {
        kept_whole_after(cell, &[])
    }

    #[test]
    fn statics_of_macros_are_written_out() {
        let local = "thread_local! {\n    /// é\n    pub static T: Cell<u8> = const { Cell::new(1) };\n    static U: X = y\n}\nT.get()";
        let written = "\n    /// é\n    pub static T: ::std::thread::LocalKey<Cell<u8>> = { ::std::thread_local! { static T: Cell<u8> = const { Cell::new(1) }; } T };\n    static U: ::std::thread::LocalKey<X> = { ::std::thread_local! { static U: X = y; } U };\n\nT.get()";
        assert_eq!(kept_whole(local), written);
        let lazy = "fn f() {\n  lazy_static!( static ref N: Vec<u8> = vec![1]; );\n  N.len()\n}";
        let written = "fn f() {\n   static N: ::std::sync::LazyLock<Vec<u8>> = ::std::sync::LazyLock::new(|| vec![1]); \n  N.len()\n}";
        assert_eq!(kept_whole(lazy), written);
        for same in ["thread_local! { fn f() {} }", "lazy_static! { #[cfg(unix)] static ref N: u8 = 1; }"] {
            assert_eq!(kept_whole(same), same);
        }
    }

    #[test]
    fn what_a_macro_of_others_makes_is_tried_alone_and_kept() {
        let cell = ":dep x\nuse x::make;\nlet a = 1;\nmake!(Bar);\nx::say!(a); println!(\"{a}\"); own!(a); std::dbg!(a);\nmake!(Bar)";
        let earlier = ["macro_rules! own { ($e:expr) => { $e } }".to_string()];
        let found = super::macros_of_others(cell, &earlier);
        assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), ["make", "x::say"]);
        let module = "#[allow(unused)] mod evcxr_items_make_Bar { use super::*; /*call*/ make!(Bar); } #[allow(unused)] use evcxr_items_make_Bar::*;";
        assert_eq!(super::with_items_of(cell, "make"), format!(":dep x\nuse x::make;\n\n{module}\n   \n"));
        let made = super::BTreeSet::from(["make".to_string()]);
        assert_eq!(super::with_items_kept(cell, &made), cell.replacen("make!(Bar);", module, 1));
        assert_eq!(super::with_items_kept(cell, &super::BTreeSet::new()), cell);
    }

    #[test]
    fn what_evcxr_would_lose_stays() {
        for same in
            ["use a::{b, c::*};\nuse d::*;\nfn f() {}\nf()", "1 +", "use a::X; use a::X; use b::{self, X as Y};", "#[cfg(test)] fn f() {}"]
        {
            assert_eq!(kept_whole(same), same);
        }
        assert_eq!(
            kept_whole(":dep x = \"1\"\nuse std::sync::{atomic::*,\n *}; // é\n1"),
            ":dep x = \"1\"\nuse std::sync::{atomic::*,\n }; use std::sync::*; // é\n1"
        );
        assert_eq!(kept_whole("use a::{*, b::{self, *}};"), "use a::{ b::{self, }}; use a::*; use a::b::*;");
        let both =
            "#[allow(unused_imports)] mod evcxr_import_X { use super::*; pub use a::X; } #[allow(unused_imports)] use evcxr_import_X::*;";
        assert_eq!(kept_whole("use a::X;\nuse b::X;"), format!(" {both}\nuse b::X;"));
        assert_eq!(kept_whole("use a::{X, Y};\nuse b::X;"), format!("use a::{{ Y}}; {both}\nuse b::X;"));
        let twins = "#[cfg(unix)]\nfn f() -> i32 { 1 }\n#[cfg(not(unix))]\nfn f() -> i32 { 2 }\nf()";
        assert_eq!(kept_whole(twins), "#[cfg(unix)]\nfn f() -> i32 { 1 }\n\n\nf()");
    }
}
