//! Calls of macros that define items → modules that evcxr keeps by name, and for rustc the calls again.
//!
//! evcxr takes a call for a statement, so what it defines would be gone with the cell. A module it keeps, and replaces when the
//! cell runs again. rustc finds the call at the root of the crate; only rust-analyzer, which tells evcxr the types of variables,
//! reads the module, and in it a copy of the cells' own macro that makes all items public. What a macro of a dependency makes is
//! known when the compiler has tried it as one of items.

use std::collections::BTreeSet;

use ra_ap_syntax::SyntaxKind as Kind;
use ra_ap_syntax::ast::{self, AstNode, HasModuleItem, HasName};
use ra_ap_syntax::{SyntaxElement, SyntaxNode, SyntaxToken, TextSize};

use crate::kernel::rewrite::edits::Edits;
use crate::kernel::rewrite::tokens;
use crate::syntax::Statements;

const MODULE: &str = "evcxr_items_";
/// Stands in front of the call.
const MARK: &str = "/*call*/ ";
/// Words that begin an item, some of them with others in front.
const BEGIN: [Kind; 12] = [
    Kind::STRUCT_KW,
    Kind::ENUM_KW,
    Kind::TRAIT_KW,
    Kind::FN_KW,
    Kind::IMPL_KW,
    Kind::MOD_KW,
    Kind::USE_KW,
    Kind::TYPE_KW,
    Kind::STATIC_KW,
    Kind::CONST_KW,
    Kind::EXTERN_KW,
    Kind::PUB_KW,
];
/// Those that a visibility may stand in front of.
const NAMED: [Kind; 8] =
    [Kind::STRUCT_KW, Kind::ENUM_KW, Kind::TRAIT_KW, Kind::FN_KW, Kind::MOD_KW, Kind::TYPE_KW, Kind::STATIC_KW, Kind::CONST_KW];
/// Macros of crates whose words are a language of their own.
const LANGUAGES: [&str; 3] = ["error_chain", "quick_error", "cfg_if"];
/// Macros of the standard library that are statements.
const STATEMENTS: [&str; 19] = [
    "println",
    "print",
    "eprintln",
    "eprint",
    "dbg",
    "assert",
    "assert_eq",
    "assert_ne",
    "debug_assert",
    "debug_assert_eq",
    "debug_assert_ne",
    "panic",
    "todo",
    "unimplemented",
    "unreachable",
    "write",
    "writeln",
    "vec",
    "format",
];
/// How deep macros that call macros are followed.
const DEPTH: usize = 8;

/// The macros that the cells define: the definition with a name, if there is one.
pub type Known<'a> = &'a dyn Fn(&str) -> Option<ast::MacroRules>;

/// A call that is a statement of a cell.
struct Statement {
    node: SyntaxNode,
    call: ast::MacroCall,
    tree: ast::TokenTree,
    name: String,
    braces: bool,
    semicolon: Option<SyntaxToken>,
}

impl Statement {
    fn of(node: SyntaxNode) -> Option<Statement> {
        let call = match ast::ExprStmt::cast(node.clone()) {
            Some(whole) => whole.expr(),
            None => ast::Expr::cast(node.clone()),
        };
        let call = ast::MacroExpr::cast(call?.syntax().clone())?.macro_call()?;
        let tree = call.token_tree()?;
        let braces = tree.syntax().first_token().is_some_and(|token| token.kind() == Kind::L_CURLY);
        let semicolon = node.last_token().filter(|token| token.kind() == Kind::SEMICOLON);
        let name = call.path().map(|path| path.to_string()).unwrap_or_default();
        (braces || semicolon.is_some()).then_some(Statement { node, call, tree, name, braces, semicolon })
    }

    /// Puts the call into a module, with a copy of the cells' `own` macro.
    fn keep(&self, own: Option<&ast::MacroRules>, edits: &mut Edits) {
        let key = format!("{MODULE}{}_{}", plain(&self.name), subject(self.tree.syntax()));
        let copy = own.map(public_copy).unwrap_or_default();
        let range = Statements::range(&self.call);
        edits.insert(range.start, format!("#[allow(unused)] mod {key} {{ use super::*; {copy}{MARK}"));
        if own.is_none() {
            let start = Statements::range(&self.tree).start;
            let text = usize::from(self.tree.syntax().text_range().start());
            for token in unmarked(self.tree.syntax()) {
                edits.insert(start + usize::from(token.text_range().start()) - text, "pub ");
            }
        }
        let behind = |end: TextSize| range.end + usize::from(end) - usize::from(self.call.syntax().text_range().end());
        if let Some(token) = &self.semicolon {
            let at = behind(token.text_range().start());
            edits.replace(at..at + 1, if self.braces { "" } else { ";" });
        }
        edits.insert(behind(self.node.text_range().end()), format!(" }} #[allow(unused)] use {key}::*;"));
    }
}

/// The changes of a cell, for calls of the macros that are `open`: nobody else writes them out.
pub fn keep(cell: &ast::StmtList, open: &dyn Fn(&str) -> bool, known: Known, edits: &mut Edits) {
    for statement in cell.syntax().children().filter_map(Statement::of).filter(|statement| open(&statement.name)) {
        let own = known(&statement.name);
        if defines(&statement.name, own.as_ref(), &statement.tree, known) {
            statement.keep(own.as_ref(), edits);
        }
    }
}

/// The macros of dependencies that a cell calls as statements: what they make, only the compiler knows.
pub fn of_others(cell: &ast::StmtList, known: Known) -> BTreeSet<String> {
    let is_other = |statement: &Statement| {
        let (first, last) = (statement.name.split("::").find(|word| !word.is_empty()), statement.name.rsplit("::").next());
        let is_std = |name: &str| name == last.unwrap_or_default() || first.is_some_and(|first| ["std", "core", "alloc"].contains(&first));
        !STATEMENTS.iter().any(|name| is_std(name)) && known(&statement.name).is_none()
    };
    cell.syntax().children().filter_map(Statement::of).filter(is_other).map(|statement| statement.name).collect()
}

/// The changes of a cell, for calls of macros of dependencies that make items.
pub fn keep_those(cell: &ast::StmtList, made: &BTreeSet<String>, edits: &mut Edits) {
    let of_them = cell.syntax().children().filter_map(Statement::of).filter(|statement| made.contains(&statement.name));
    of_them.for_each(|statement| statement.keep(None, edits));
}

/// The changes that leave nothing of a cell but its items and the calls of one macro, as if that made items.
pub fn try_one(cell: &ast::StmtList, name: &str, edits: &mut Edits) {
    for node in cell.syntax().children().filter(|node| !ast::Item::can_cast(node.kind())) {
        match Statement::of(node.clone()).filter(|statement| statement.name == name) {
            Some(statement) => statement.keep(None, edits),
            None => edits.replace(Statements::range_of(&node), ""),
        }
    }
}

/// The changes of a crate: the last item of such a module stands in its place.
pub fn edits(source: &str, file: &ast::SourceFile) -> Edits {
    let mut edits = Edits::default();
    for item in file.items() {
        match item {
            ast::Item::Module(module) if module.name().is_some_and(|name| name.text().starts_with(MODULE)) => {
                let Some(call) = module.item_list().and_then(|list| list.items().last()) else { continue };
                let (whole, call) = (tokens::range(module.syntax()), tokens::range(call.syntax()));
                // With blanks, what the compiler says of the call has its place.
                let front = source[whole.start..call.start].chars().map(|char| if char == '\n' { '\n' } else { ' ' });
                edits.replace(whole.start..call.start, front.collect::<String>());
                edits.replace(call.end..whole.end, "");
            }
            ast::Item::Use(line) if line.use_tree().is_some_and(|tree| tree.to_string().starts_with(MODULE)) => {
                edits.replace(tokens::range(line.syntax()), "");
            }
            _ => {}
        }
    }
    edits
}

/// The source as rustc finds it, as far as the places of calls go.
pub fn as_compiled(source: &str) -> String {
    let line = |line: &str| match line.find(MARK).filter(|_| line.contains(MODULE)) {
        Some(mark) => {
            let (front, call) = line.split_at(mark + MARK.len());
            " ".repeat(front.chars().count()) + call
        }
        None => line.to_string(),
    };
    source.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// Whether a call makes items: by what the cells' own macro writes, or by the words of the call.
fn defines(name: &str, own: Option<&ast::MacroRules>, tree: &ast::TokenTree, known: Known) -> bool {
    match own {
        Some(own) => makes_items(own, known, 0) == Some(true),
        None => {
            LANGUAGES.contains(&name.rsplit("::").next().unwrap_or_default().trim()) || begins_item(&inner(tree.syntax()), "", &|_| None)
        }
    }
}

/// Whether all arms of a macro make items; none when that depends on itself.
fn makes_items(own: &ast::MacroRules, known: Known, depth: usize) -> Option<bool> {
    let itself = own.name().map(|name| name.text().to_string()).unwrap_or_default();
    let arms = arms(own);
    let found: Vec<bool> = arms
        .iter()
        .filter_map(|(pattern, written)| {
            let calls = |name: &str| match known(name) {
                _ if name == itself || depth == DEPTH => None,
                Some(other) => makes_items(&other, known, depth + 1),
                None => Some(["thread_local", "lazy_static", "bitflags"].contains(&name)),
            };
            let parts = inner(written);
            let repeats = matches!(first_call(&parts).as_deref(), Some(name) if calls(name).is_none());
            (!repeats)
                .then(|| begins_item(&parts, &pattern.text().to_string(), &calls) && !parts.iter().any(|part| part.kind() == Kind::LET_KW))
        })
        .collect();
    (!found.is_empty()).then(|| found.iter().all(|items| *items))
}

/// The patterns of a macro, each with what is written for it.
fn arms(own: &ast::MacroRules) -> Vec<(SyntaxNode, SyntaxNode)> {
    let trees: Vec<SyntaxNode> = own.token_tree().into_iter().flat_map(|tree| tree.syntax().children().collect::<Vec<_>>()).collect();
    trees.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
}

/// What stands between the brackets of a tree.
fn inner(tree: &SyntaxNode) -> Vec<SyntaxElement> {
    let mut parts: Vec<SyntaxElement> = tree.children_with_tokens().filter(|part| !part.kind().is_trivia()).collect();
    parts.pop();
    parts.drain(..1.min(parts.len()));
    parts
}

/// The macro whose call comes first.
fn first_call(parts: &[SyntaxElement]) -> Option<String> {
    let name = parts.first()?.as_token().filter(|token| token.kind() == Kind::IDENT)?;
    parts.get(1).is_some_and(|part| part.kind() == Kind::BANG).then(|| name.text().to_string())
}

/// Whether an item begins, behind attributes and visibilities.
fn begins_item(parts: &[SyntaxElement], pattern: &str, calls: &dyn Fn(&str) -> Option<bool>) -> bool {
    let is = |place: usize, kind: Kind| parts.get(place).is_some_and(|part| part.kind() == kind);
    let mut place = 0;
    while let Some(part) = parts.get(place) {
        match part.kind() {
            Kind::POUND => place += 2,
            Kind::DOLLAR if is(place + 1, Kind::TOKEN_TREE) => {
                let repeated = inner(parts[place + 1].as_node().expect("a tree is a node"));
                if repeated.first().is_none_or(|part| part.kind() != Kind::POUND) || repeated.len() > 2 {
                    return begins_item(&repeated, pattern, calls);
                }
                // Attributes, and `*` behind them.
                place += 3;
            }
            Kind::DOLLAR => {
                let name = parts.get(place + 1).map(ToString::to_string).unwrap_or_default();
                let bound = |kind: &str| pattern.replace(' ', "").contains(&format!("${name}:{kind}"));
                if !bound("vis") {
                    return bound("item");
                }
                place += 2;
            }
            Kind::UNSAFE_KW | Kind::ASYNC_KW => place += 1,
            Kind::CONST_KW => return !is(place + 1, Kind::TOKEN_TREE),
            Kind::IDENT if is(place + 1, Kind::BANG) => {
                return calls(&part.to_string()).unwrap_or(false) || part.to_string() == "macro_rules";
            }
            Kind::IDENT => return part.to_string() == "macro_rules",
            kind => return BEGIN.contains(&kind),
        }
    }
    false
}

/// The words of items at the root of a call's own words that no visibility stands in front of.
fn unmarked(tree: &SyntaxNode) -> Vec<SyntaxToken> {
    let parts = inner(tree);
    let begins = |place: usize| match place.checked_sub(1).map(|before| &parts[before]) {
        None => true,
        Some(before) => {
            matches!(before.kind(), Kind::SEMICOLON | Kind::TOKEN_TREE) && !(place > 1 && parts[place - 2].kind() == Kind::PUB_KW)
        }
    };
    let tokens = parts.iter().enumerate().filter(|(place, part)| NAMED.contains(&part.kind()) && begins(*place));
    tokens.filter_map(|(_, part)| part.as_token().cloned()).collect()
}

/// What a call is about: the first name among its words.
fn subject(tree: &SyntaxNode) -> String {
    let words = tokens::tokens(tree, |_| false);
    let mut inside = 0;
    for (place, token) in words.iter().enumerate() {
        // The words of an attribute are none.
        match token.kind() {
            Kind::L_BRACK if place > 0 && words[place - 1].kind() == Kind::POUND => inside += 1,
            Kind::R_BRACK if inside > 0 => inside -= 1,
            Kind::IDENT if inside == 0 => return plain(token.text()),
            _ => {}
        }
    }
    format!("{:x}", tokens::hash(&words))
}

fn plain(name: &str) -> String {
    name.chars().filter(|char| char.is_alphanumeric() || *char == '_').collect()
}

/// A macro of the cells on one line, with `pub` in front of the items that it writes.
fn public_copy(own: &ast::MacroRules) -> String {
    let (Some(name), Some(tree)) = (own.name(), own.token_tree()) else { return String::new() };
    let text = tree.syntax().text().to_string();
    let start = usize::from(tree.syntax().text_range().start());
    let mut edits = Edits::default();
    for (_, written) in arms(own) {
        let words = tokens::tokens(&written, |_| false);
        for (place, token) in words.iter().enumerate().filter(|(_, token)| NAMED.contains(&token.kind())) {
            let (before, after) = (place.checked_sub(1).map(|before| words[before].kind()), words.get(place + 1).map(SyntaxToken::kind));
            let begins =
                matches!(before, Some(Kind::L_CURLY | Kind::R_CURLY | Kind::SEMICOLON | Kind::R_BRACK | Kind::L_PAREN | Kind::STAR));
            // `fn(u8)` and `*const u8` are types.
            let is_type = after == Some(Kind::L_PAREN) || (token.kind() == Kind::CONST_KW && before == Some(Kind::STAR));
            if begins && !is_type {
                edits.insert(usize::from(token.text_range().start()) - start, "pub ");
            }
        }
    }
    let copy = tokens::parse(&format!("macro_rules! {} {}", name.text(), edits.apply(&text)));
    let copy = tokens::one_line(copy.syntax());
    let end = if text.starts_with('{') { "" } else { ";" };
    if copy.contains('\n') { String::new() } else { format!("{copy}{end} ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cell as evcxr gets it, with a macro of an earlier cell.
    fn kept(cell: &str, earlier: &str) -> String {
        let statements = crate::syntax::parse(cell).ok().unwrap();
        let all = tokens::parse(&format!("{earlier}\n{cell}"));
        let known = |name: &str| {
            let macros = all.syntax().descendants().filter_map(ast::MacroRules::cast);
            macros.filter(|own| own.name().is_some_and(|own| own.text() == name)).last()
        };
        let mut edits = Edits::default();
        keep(statements.list(), &|name| name != "closed", &known, &mut edits);
        edits.apply(cell)
    }

    #[test]
    fn a_call_that_makes_items_is_a_module_for_evcxr_and_a_call_for_rustc() {
        let unit = "macro_rules! unit { ($name:ident) => { #[derive(Debug)] struct $name; impl $name { fn one(f: fn(u8)) {} } } }";
        let text = kept("unit!(Bar);\nlet b = Bar;", unit);
        let start = "#[allow(unused)] mod evcxr_items_unit_Bar { use super::*; macro_rules! unit { ($name:ident) => { #[derive(Debug)] pub struct $name; impl $name { pub fn one(f: fn(u8)) {} } } } /*call*/ unit!(Bar); } #[allow(unused)] use evcxr_items_unit_Bar::*;\nlet b = Bar;";
        assert_eq!(text, start);
        let file = text.lines().next().unwrap();
        assert_eq!(edits(file, &tokens::parse(file)).apply(file).trim(), "/*call*/ unit!(Bar);");
        let compiled = edits(file, &tokens::parse(file)).apply(file);
        assert_eq!(compiled.find("unit!(Bar)"), as_compiled(file).find("unit!(Bar)"));
        assert!(as_compiled(file).trim_start().starts_with("unit!(Bar);"), "{}", as_compiled(file));
        let flags = "bitflags::bitflags! {\n  #[derive(Clone)]\n  struct Flags: u32 {\n    const A = 1;\n  }\n}\n1";
        let text = kept(flags, "");
        assert!(text.starts_with("#[allow(unused)] mod evcxr_items_bitflagsbitflags_Flags { use super::*; /*call*/ bitflags"), "{text}");
        assert!(text.contains("]\n  pub struct Flags") && text.contains("    const A") && text.ends_with("Flags::*;\n1"), "{text}");
        assert_eq!(text.lines().count(), flags.lines().count());
    }

    #[test]
    fn what_makes_items_is_known_by_what_the_macro_writes() {
        let is_kept = |cell: &str, earlier: &str| kept(cell, earlier).contains(MODULE);
        for (cell, earlier) in [
            ("f!{}", "macro_rules! f { () => { pub fn f() {} } }"),
            ("f!(a, b);", "macro_rules! f { ($($n:ident),*) => { $(const $n: u8 = 1;)* } }"),
            ("f!(pub a);", "macro_rules! f { ($v:vis $n:ident) => { #[doc = \"x\"] $v unsafe fn $n() {} } }"),
            ("f!(struct A;);", "macro_rules! f { ($i:item) => { $i } }"),
            ("f!(a);", "macro_rules! f { ($n:ident) => { g!($n); } } macro_rules! g { ($n:ident) => { type $n = u8; } }"),
            ("f!(a);", "macro_rules! f { ($n:ident) => { f!($n b); }; ($n:ident b) => { impl X for $n {} } }"),
            ("f!($(a)*);", "macro_rules! f { ($(#[$m:meta])* $n:ident) => { $(#[$m])* enum $n {} } }"),
            ("quick_error! { E }", ""),
        ] {
            assert!(is_kept(cell, earlier), "{cell}: {earlier}");
        }
        for (cell, earlier) in [
            ("f!(1);", "macro_rules! f { ($e:expr) => { println!(\"{}\", $e) } }"),
            ("f!(a);", "macro_rules! f { ($n:ident) => { let $n = 1; } }"),
            ("f!(a);", "macro_rules! f { ($n:ident) => { struct S; let $n = S; } }"),
            ("f!(a);", "macro_rules! f { ($n:ident) => {{ fn g() {} g() }} }"),
            ("f!(a);", "macro_rules! f { ($n:ident) => { const { 1 } } }"),
            ("closed! { struct A; }", ""),
            ("f!(a)", "macro_rules! f { ($n:ident) => { struct $n; } }"),
            ("f!(a);", "macro_rules! f { ($n:ident) => { f!($n) } }"),
            ("println!(\"struct\"); vec![1]; unknown!(Bar); assert!(true);", ""),
        ] {
            assert!(!is_kept(cell, earlier), "{cell}: {earlier}");
        }
    }
}
