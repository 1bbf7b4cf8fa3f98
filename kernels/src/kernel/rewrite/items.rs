//! The items of a crate → a key for a type or an item, which differs when anything differs that it is made of.
//!
//! Names are not resolved: every item with a name that is reached counts, in whatever module. So a key may change without
//! need, and a value is then made anew, but it stays the same only if everything does that the name can mean.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use ra_ap_syntax::ast::{self, AstNode, HasModuleItem, HasName};
use ra_ap_syntax::{SyntaxKind, SyntaxNode, SyntaxToken};

use crate::kernel::rewrite::tokens;

/// Names that mean the same in every cell, unless an item has them.
const KNOWN: [&str; 31] = [
    "bool", "char", "str", "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize", "f32", "f64", "String",
    "Vec", "Box", "Option", "Result", "Some", "None", "Ok", "Err", "std", "core", "alloc", "Fn", "Send",
];
/// Attributes that change neither what a type holds nor how.
const HARMLESS: [&str; 8] = ["derive", "allow", "warn", "deny", "expect", "doc", "must_use", "inline"];

/// One of the items with a name.
struct Item {
    hash: u64,
    names: Vec<String>,
}

/// The items of a crate by name, and what may define others. Of most nobody asks: they are read when a name leads to them.
#[derive(Default)]
pub struct Items {
    by_name: HashMap<String, Vec<SyntaxNode>>,
    /// The modules that hold an item or a module with a name, the root as an empty one.
    holders: HashMap<String, Vec<String>>,
    read: RefCell<HashMap<SyntaxNode, Rc<Item>>>,
    /// Calls of macros in the place of items.
    calls: Vec<Item>,
    /// The first names of imports with a `*`.
    globs: BTreeSet<String>,
    /// Modules whose text is another file.
    files: HashMap<String, u64>,
    crates: HashMap<String, Crate>,
}

/// The file of a dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crate {
    /// What identifies it.
    pub id: u64,
    /// Whether it was another one earlier in this session.
    pub changed: bool,
}

impl Items {
    /// The items of a crate that is linked with these files of dependencies.
    pub fn of(file: &ast::SourceFile, crates: HashMap<String, Crate>) -> Items {
        let mut items = Items { crates, ..Items::default() };
        for item in file.items().filter(|item| !is_generated(item)) {
            item.syntax().descendants().filter_map(ast::Item::cast).for_each(|item| items.add(&item));
        }
        let imports = file.syntax().descendants().filter_map(ast::UseTree::cast);
        let ends = imports.filter(|tree| tree.use_tree_list().is_none() && tree.star_token().is_none());
        let (own, others): (Vec<_>, Vec<_>) = ends.map(|tree| (items.path_to_own(&tree), tree)).partition(|(path, _)| path.is_some());
        others.iter().for_each(|(_, tree)| items.add_import(tree.syntax(), tree.rename().as_ref()));
        for (path, tree) in own {
            // Another import may stand for a word of the path.
            if path.iter().flatten().any(|word| items.by_name.contains_key(word)) {
                items.add_import(tree.syntax(), None);
            }
        }
        items
    }

    /// The modules on the path of an import that can only lead to one item of this crate: it changes the meaning of no name.
    fn path_to_own(&self, tree: &ast::UseTree) -> Option<Vec<String>> {
        let above = tree.syntax().ancestors().filter_map(ast::UseTree::cast).filter_map(|tree| tree.path());
        let mut parts: Vec<String> = above.map(|path| path.syntax().text().to_string()).collect();
        parts.reverse();
        let path = parts.join("::");
        let words = path.split("::").map(|word| tokens::plain(word.trim()));
        let mut words: Vec<String> = words.filter(|word| !["", "self", "crate", "super"].contains(&word.as_str())).collect();
        let name = words.pop().filter(|_| tree.rename().is_none())?;
        let is_foreign = |first: &String| ["std", "core", "alloc"].contains(&first.as_str()) || self.crates.contains_key(first);
        let holder = words.last().map(String::as_str).unwrap_or_default();
        let is_own = self.holders.get(&name).is_some_and(|holders| holders.len() == 1 && holders[0] == holder);
        (is_own && !words.first().is_some_and(is_foreign)).then_some(words)
    }

    fn add(&mut self, item: &ast::Item) {
        let name = match item {
            ast::Item::Struct(item) => item.name(),
            ast::Item::Enum(item) => item.name(),
            ast::Item::Union(item) => item.name(),
            ast::Item::TypeAlias(item) => item.name(),
            ast::Item::Trait(item) => item.name(),
            ast::Item::Const(item) => item.name(),
            ast::Item::Static(item) => item.name(),
            ast::Item::Fn(item) => item.name(),
            ast::Item::MacroRules(item) => item.name(),
            ast::Item::MacroDef(item) => item.name(),
            ast::Item::ExternCrate(item) => return self.add_import(item.syntax(), item.rename().as_ref()),
            ast::Item::Use(item) => {
                let all = item.syntax().descendants().filter_map(ast::UseTree::cast).filter(|tree| tree.star_token().is_some());
                self.globs.extend(all.filter_map(|_| Item::of(item.syntax()).names.into_iter().next()));
                return;
            }
            ast::Item::Module(module) if module.item_list().is_none() => {
                let name = module.name().map(|name| tokens::plain(name.text())).unwrap_or_default();
                self.files.insert(name, file_of(module));
                return;
            }
            ast::Item::Module(module) => {
                let name = module.name().map(|name| tokens::plain(name.text())).unwrap_or_default();
                self.holders.entry(name).or_default().push(holder(item.syntax()));
                return;
            }
            ast::Item::MacroCall(_) if is_item(item.syntax()) => return self.calls.push(Item::of(item.syntax())),
            _ => None,
        };
        let Some(name) = name.map(|name| tokens::plain(name.text())) else { return };
        let owners = owners(item.syntax());
        if owners.is_empty() {
            self.holders.entry(name.clone()).or_default().push(holder(item.syntax()));
        }
        let known_as: Vec<String> = match owners.is_empty() {
            true => vec![name],
            false => owners.into_iter().chain([String::new()]).map(|owner| format!("{owner}::{name}")).collect(),
        };
        for name in known_as {
            self.by_name.entry(name).or_default().push(item.syntax().clone());
        }
    }

    /// An import is known by its new name, or by the last word of its path.
    fn add_import(&mut self, import: &SyntaxNode, rename: Option<&ast::Rename>) {
        let whole = import.ancestors().find(|node| ast::Use::can_cast(node.kind())).unwrap_or_else(|| import.clone());
        let words = tokens::tokens(import, |node| ast::Rename::can_cast(node.kind()));
        let last = words.iter().rfind(|token| token.kind() == SyntaxKind::IDENT).map(|token| token.text().to_string());
        if let Some(name) = rename.and_then(ast::Rename::name).map(|name| name.text().to_string()).or(last) {
            self.by_name.entry(tokens::plain(&name)).or_default().push(whole);
        }
    }

    /// The key of a type, given by its text.
    pub fn key_of_type(&self, text: &str) -> u64 {
        let file = tokens::parse(&format!("type T = {text};"));
        self.key_of(&tokens::tokens(file.syntax(), |_| false))
    }

    /// The key of what these tokens say.
    pub fn key_of(&self, words: &[SyntaxToken]) -> u64 {
        let (mut found, mut unknown) = (BTreeSet::new(), BTreeSet::new());
        self.reach(tokens::names(words).into_iter(), &mut found, &mut unknown);
        if !unknown.is_empty() {
            // It may come of any import of all. More of them change nothing: a name that two of them bring is an error.
            found.extend(self.crates.values().filter(|found| found.changed).map(|found| found.id));
            found.extend(self.files.iter().filter(|(name, _)| self.globs.contains(*name)).map(|(_, id)| *id));
        }
        for call in &self.calls {
            // What a macro makes of its words may have any name that is in them, or in the macro.
            let (mut made, mut of) = (BTreeSet::from([call.hash]), BTreeSet::new());
            self.reach(call.names.iter().cloned(), &mut made, &mut of);
            if !of.is_disjoint(&unknown) {
                found.extend(made);
            }
        }
        let mut hasher = DefaultHasher::new();
        (tokens::hash(words), found).hash(&mut hasher);
        hasher.finish()
    }

    fn item(&self, node: &SyntaxNode) -> Rc<Item> {
        Rc::clone(self.read.borrow_mut().entry(node.clone()).or_insert_with(|| Rc::new(Item::of(node))))
    }

    /// Adds the hashes of all items that names lead to, and the names that are none.
    fn reach(&self, names: impl Iterator<Item = String>, found: &mut BTreeSet<u64>, unknown: &mut BTreeSet<String>) {
        let (mut open, mut seen): (Vec<String>, BTreeSet<String>) = (names.collect(), BTreeSet::new());
        while let Some(name) = open.pop() {
            if !seen.insert(name.clone()) {
                continue;
            }
            found.extend(self.crates.get(&name).map(|found| found.id));
            found.extend(self.files.get(&name));
            match self.by_name.get(&name) {
                Some(items) => {
                    for item in items.iter().map(|node| self.item(node)) {
                        found.insert(item.hash);
                        open.extend(item.names.iter().cloned());
                    }
                }
                None if name.contains("::") => {
                    // Through an alias or an import, the owner may be any.
                    let (owner, last) = name.split_once("::").unwrap_or_default();
                    if self.by_name.contains_key(owner) {
                        open.push(format!("::{last}"));
                    }
                }
                None if KNOWN.contains(&name.as_str()) || self.crates.contains_key(&name) => {}
                None => drop(unknown.insert(name)),
            }
        }
    }
}

impl Item {
    fn of(node: &SyntaxNode) -> Item {
        let is_trait = ast::Trait::can_cast(node.kind());
        let words = tokens::tokens(node, |part| {
            let harmless = || {
                let attribute = ast::Attr::cast(part.clone())?;
                Some(HARMLESS.contains(&tokens::attribute_name(&attribute).as_str()))
            };
            // What a method does is code; a value is made of none.
            let is_body = is_trait && ast::BlockExpr::can_cast(part.kind());
            ast::Visibility::can_cast(part.kind()) || is_body || harmless().unwrap_or(false)
        });
        let mut hasher = DefaultHasher::new();
        tokens::hash(&words).hash(&mut hasher);
        // Two items with one name differ by where they stand.
        for above in node.ancestors().skip(1) {
            if let Some(module) = ast::Module::cast(above.clone()) {
                module.name().map(|name| name.text().to_string()).hash(&mut hasher);
            } else if let Some(block) = ast::Impl::cast(above) {
                for part in [block.trait_(), block.self_ty()].into_iter().flatten() {
                    tokens::hash(&tokens::tokens(part.syntax(), |_| false)).hash(&mut hasher);
                }
            }
        }
        // `Self::a` is of this type, `T::a` of any.
        let own =
            owners(node).first().cloned().or_else(|| node.children().find_map(ast::Name::cast).map(|name| tokens::plain(name.text())));
        let parameters: Vec<String> = node
            .descendants()
            .filter_map(ast::TypeParam::cast)
            .filter_map(|parameter| Some(tokens::plain(parameter.name()?.text())))
            .collect();
        let names = tokens::names(&words).into_iter().filter_map(|name| match name.split_once("::") {
            Some(("Self", last)) => Some(format!("{}::{last}", own.as_deref().unwrap_or_default())),
            Some((owner, last)) if parameters.iter().any(|parameter| parameter == owner) => Some(format!("::{last}")),
            _ => Some(name).filter(|name| name != "Self"),
        });
        Item { hash: hasher.finish(), names: names.collect() }
    }
}

/// What evcxr itself writes: its store, and the function with the statements of the cell.
fn is_generated(item: &ast::Item) -> bool {
    let name = item.syntax().children().find_map(ast::Name::cast).map(|name| name.text().to_string()).unwrap_or_default();
    name == "evcxr_internal_runtime" || name.starts_with("run_user_code_")
}

/// The name of the module that an item is in, the root's being empty.
fn holder(item: &SyntaxNode) -> String {
    let module = item.ancestors().skip(1).find_map(ast::Module::cast);
    module.and_then(|module| module.name()).map(|name| tokens::plain(name.text())).unwrap_or_default()
}

/// The names of the type and the trait whose item this is; none for an item of a module.
fn owners(item: &SyntaxNode) -> Vec<String> {
    let last_name = |kind: ast::Type| {
        let path = kind.syntax().descendants().find_map(ast::Path::cast)?;
        Some(tokens::plain(path.segment()?.name_ref()?.text()))
    };
    let Some(above) = item.parent().filter(|parent| ast::AssocItemList::can_cast(parent.kind())).and_then(|list| list.parent()) else {
        return Vec::new();
    };
    if let Some(block) = ast::Impl::cast(above.clone()) {
        // A type without a name, such as a tuple, is reached through any.
        let names = [block.self_ty(), block.trait_()].into_iter().flatten().map(|kind| last_name(kind).unwrap_or_default());
        return names.collect();
    }
    ast::Trait::cast(above).and_then(|item| item.name()).map(|name| tokens::plain(name.text())).into_iter().collect()
}

/// What identifies the file of a module.
fn file_of(module: &ast::Module) -> u64 {
    let text = module.syntax().text().to_string();
    let path = text.split('"').nth(1).unwrap_or_default();
    let made = std::fs::metadata(std::path::Path::new("src").join(path)).and_then(|file| file.modified()).ok();
    let mut hasher = DefaultHasher::new();
    (path, made).hash(&mut hasher);
    hasher.finish()
}

/// Whether a call of a macro stands where an item does.
fn is_item(call: &SyntaxNode) -> bool {
    call.parent().is_some_and(|parent| matches!(parent.kind(), SyntaxKind::SOURCE_FILE | SyntaxKind::ITEM_LIST | SyntaxKind::MACRO_ITEMS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(items: &str, kind: &str) -> u64 {
        Items::of(&tokens::parse(items), HashMap::new()).key_of_type(kind)
    }

    #[test]
    fn a_key_differs_when_a_type_inside_does_and_only_then() {
        let base = "struct P { q: Vec<m::Q>, n: [u8; N] } mod m { pub struct Q(E); pub enum E { A, B(T) } } type T = u8; const N: usize = size(); const fn size() -> usize { 3 }";
        for changed in ["B(T)", "u8;", "{ 3 }", "Vec<m::Q>", "Q(E)"] {
            let other = base.replace(changed, &format!("{}, x: u64 {}", &changed[..1], &changed[1..]));
            assert_ne!(key(base, "Option<P>"), key(&other, "Option<P>"), "{other}");
            assert_eq!(key(base, "Option<i32>"), key(&other, "Option<i32>"));
        }
        for same in [
            base.replace("pub struct", "/// documented\n#[derive(Debug, Clone)]\nstruct"),
            format!("fn q(p: P) {{}} struct Other; impl P {{ fn n() {{}} }} impl Iterator for P {{ type Item = u8; }} {base}"),
            base.replace("const fn", "pub const\nfn"),
        ] {
            assert_eq!(key(base, "P"), key(&same, "P"), "{same}");
        }
    }

    #[test]
    fn a_trait_counts_by_its_methods_and_not_by_what_they_do() {
        let base = "trait Shape { fn area(&self) -> f64; fn name(&self) -> String { \"a\".into() } }";
        assert_eq!(key(base, "Box<dyn Shape>"), key(&base.replace("\"a\"", "\"b\""), "Box<dyn Shape>"));
        assert_ne!(key(base, "Box<dyn Shape>"), key(&base.replace("fn name", "fn size(&self); fn name"), "Box<dyn Shape>"));
        let base = "struct W { x: <V as Tr>::Out } struct V; struct U; trait Tr { type Out; } impl Tr for V { type Out = u8; } impl Tr for U { type Out = u16; }";
        let other = "impl U { fn new() -> u8 { 1 } } trait Made { const N: u8; } impl Made for U { const N: u8 = 1; }";
        assert_eq!(key(other, "A<{ V::new() }>"), key(&other.replace("{ 1 }", "{ 2 }"), "A<{ V::new() }>"), "`new` of another type");
        for kind in ["[u8; U::new()]", "[u8; <U as Made>::N]", "[u8; vec![U::N]]", "[u8; U.new()]"] {
            assert_ne!(key(other, kind), key(&other.replace('1', "2"), kind), "{kind}");
        }
        let own =
            "struct W<T: Tr>([T::Out; Self::N]); impl W<u8> { const N: usize = 1; } impl Tr for u8 { type Out = u8; } type V = W<u8>;";
        for changed in ["= 1", "= u8;"] {
            assert_ne!(key(own, "V"), key(&own.replace(changed, "= u16;"), "V"), "{changed}");
        }
        assert_ne!(key(own, "[u8; V::N]"), key(&own.replace("= 1", "= 2"), "[u8; V::N]"));
        let swapped = base.replace("= u8", "= x").replace("= u16", "= u8").replace("= x", "= u16");
        assert_ne!(key(base, "W"), key(&swapped, "W"));
    }

    #[test]
    fn imports_macros_and_dependencies_count_where_they_are_reached() {
        assert_ne!(key("use a::P;", "P"), key("use b::P;", "P"));
        assert_ne!(key("use a::{Q, R as P};", "P"), key("use a::{Q, S as P};", "P"));
        assert_eq!(key("use a::*;", "P"), key("use a::*; use b::*; use Other::*; enum Other {}", "P"));
        // To the only item of that name it leads whoever names it.
        let own = "mod a { pub mod b { pub struct P; } pub struct Q; } mod c { pub struct Q; }";
        for import in ["use a::b::P;", "use a::b; use b::{self, P};", "use self::a::{b::{self}}; use crate::b::P;"] {
            assert_eq!(key(own, "P"), key(&format!("{own} {import}"), "P"), "{import}");
            assert_eq!(key(own, "a::b::P"), key(&format!("{own} {import}"), "a::b::P"), "{import}");
        }
        for import in ["use a::Q;", "use a::b::P as Q;", "use std::Q;", "use x as b; use b::P as Q;"] {
            assert_ne!(key(own, "Q"), key(&format!("{own} {import}"), "Q"), "{import}");
        }
        assert_ne!(key(&format!("{own} use x as b; use b::P;"), "P"), key(own, "P"));
        let made = "macro_rules! make { ($n:ident) => { struct $n { x: u8 } } } make!(P);";
        assert_ne!(key(made, "P"), key(&made.replace("u8", "u16"), "P"));
        assert_eq!(key(made, "Vec<i32>"), key(&made.replace("u8", "u16"), "Vec<i32>"));
        let with = |source: &str, id: u64, changed: bool| {
            Items::of(&tokens::parse(source), HashMap::from([("own".to_string(), Crate { id, changed })]))
        };
        let named = |id: u64| with("use own::P;", id, false);
        assert_ne!(named(1).key_of_type("P"), named(2).key_of_type("P"));
        assert_eq!(named(1).key_of_type("u8"), named(2).key_of_type("u8"));
        let all = |id: u64, changed: bool| with("use own::*;", id, changed).key_of_type("P");
        assert_eq!(all(1, false), all(2, false), "a dependency that is new");
        assert_ne!(all(1, false), all(2, true), "a dependency that was compiled again");
        let file = tempfile::NamedTempFile::new().unwrap();
        let source = format!("#[path = {:?}] mod own; use own::*;", file.path());
        let before = (key(&source, "P"), key(&source, "own::Q"), key(&source, "u8"));
        file.as_file().set_modified(std::time::UNIX_EPOCH).unwrap();
        let after = (key(&source, "P"), key(&source, "own::Q"), key(&source, "u8"));
        assert!(before.0 != after.0 && before.1 != after.1 && before.2 == after.2, "{before:?} {after:?}");
    }
}
