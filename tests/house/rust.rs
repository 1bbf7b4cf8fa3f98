//! The text of a Rust file → what the house asks of it: the paths that it names and the functions that it defines, tests left out.
//!
//! The parser is rust-analyzer's, so that comments, strings and macros are what they are.

use std::collections::{BTreeMap, BTreeSet};

use ra_ap_syntax::ast::{self, AstNode, HasAttrs, HasName};
use ra_ap_syntax::{Edition, SourceFile, SyntaxNode, SyntaxToken};

/// A module or an item, from the crate's root: `crate::train::step::update` is `[train, step, update]`.
pub type Path = Vec<String>;

/// A word of the text outside of comments, with the modules in braces around it.
struct Word {
    text: String,
    inline: Path,
}

/// The parsed text without what only tests see.
fn words(text: &str) -> Vec<Word> {
    let root = SourceFile::parse(text, Edition::Edition2024).syntax_node();
    let mut words: Vec<Word> = Vec::new();
    let tokens = root.descendants_with_tokens().filter_map(|element| element.into_token());
    for token in tokens.filter(|token| !token.kind().is_trivia() && !is_test(token)) {
        let (text, inline) = (token.text().to_string(), inline_modules(&token));
        match words.last_mut() {
            // Inside of a macro `::` is two words.
            Some(last) if last.text == ":" && text == ":" => last.text = "::".into(),
            _ => words.push(Word { text, inline }),
        }
    }
    words
}

fn is_test(token: &SyntaxToken) -> bool {
    token.parent_ancestors().filter_map(ast::AnyHasAttrs::cast).any(|node| {
        node.attrs().map(|attribute| attribute.syntax().text().to_string()).any(|text| text == "#[cfg(test)]" || text == "#[test]")
    })
}

fn inline_modules(token: &SyntaxToken) -> Path {
    let names = token.parent_ancestors().filter_map(ast::ItemList::cast).filter_map(|list| list.syntax().parent());
    let mut names: Path = names.filter_map(ast::Module::cast).filter_map(|module| Some(module.name()?.text().to_string())).collect();
    names.reverse();
    names
}

/// The modules that a file declares without a body, `mod name;`, in order.
pub fn declared(text: &str) -> Path {
    let root = SourceFile::parse(text, Edition::Edition2024).syntax_node();
    let modules = root.children().filter_map(ast::Module::cast).filter(|module| module.item_list().is_none());
    modules.filter_map(|module| Some(module.name()?.text().to_string())).collect()
}

/// Whether a word of the text, tests included, is this keyword.
pub fn has_keyword(text: &str, keyword: &str) -> bool {
    let root = SourceFile::parse(text, Edition::Edition2024).syntax_node();
    let mut tokens = root.descendants_with_tokens().filter_map(|element| element.into_token());
    tokens.any(|token| token.kind().is_keyword(Edition::Edition2024) && token.text() == keyword)
}

/// What a file names: paths of its own crate, and the first words of paths of others.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Named {
    pub own: BTreeSet<Path>,
    pub crates: BTreeSet<String>,
}

/// All paths of a file that is the module `module`: in imports, in types, in calls, in macros; through braces, `self`, `super`
/// and names that stand for an imported module.
pub fn named(text: &str, module: &[String]) -> Named {
    let (words, mut named) = (words(text), Named::default());
    let mut known: BTreeMap<String, Path> = declared(text).into_iter().map(|name| (name.clone(), [module, &[name]].concat())).collect();
    // Imports first: what they name may be the start of a path above them.
    for imports in [true, false] {
        let mut at = 0;
        while at < words.len() {
            let import = at > 0 && words[at - 1].text == "use";
            let starts = is_name(&words[at].text)
                && (import || words.get(at + 1).is_some_and(|next| next.text == "::"))
                && at.checked_sub(1).is_none_or(|before| words[before].text != "::");
            if !starts || import != imports {
                at += 1;
                continue;
            }
            let mut found = Vec::new();
            follow(&words, &mut at, Vec::new(), &mut found);
            for (path, name) in found {
                let here: Path = [module, &words[at.min(words.len()) - 1].inline].concat();
                match absolute(&path, &here, &known) {
                    Some(path) => {
                        if import {
                            known.insert(name, path.clone());
                        }
                        named.own.insert(path);
                    }
                    None => drop(named.crates.insert(path[0].clone())),
                }
            }
        }
    }
    named
}

fn is_name(word: &str) -> bool {
    word.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// The paths that begin at a word, each with the name under which an import knows it: `a::{b, c::d as e}` is two.
fn follow(words: &[Word], at: &mut usize, before: Path, found: &mut Vec<(Path, String)>) {
    let mut path = before;
    loop {
        let word = words.get(*at).map_or("", |word| &word.text);
        match word {
            "{" => {
                *at += 1;
                while words.get(*at).is_some_and(|word| word.text != "}") {
                    follow(words, at, path.clone(), found);
                    *at += usize::from(words.get(*at).is_some_and(|word| word.text == ","));
                }
                *at += 1;
                return;
            }
            // `{self}` is the path itself.
            "self" if !path.is_empty() => *at += 1,
            name if is_name(name) => {
                path.push(name.trim_start_matches("r#").to_string());
                *at += 1;
            }
            // `*`, or the `<` of a type.
            _ => *at += 1,
        }
        match words.get(*at).map_or("", |word| &word.text) {
            "::" => *at += 1,
            "as" if words.get(*at + 1).is_some_and(|word| is_name(&word.text)) => {
                found.push((path, words[*at + 1].text.clone()));
                *at += 2;
                return;
            }
            _ => {
                let name = path.last().cloned().unwrap_or_default();
                found.push((path, name));
                return;
            }
        }
    }
}

/// A path from the crate's root, `None` for one of another crate.
fn absolute(path: &[String], here: &[String], known: &BTreeMap<String, Path>) -> Option<Path> {
    let rest = |from: usize| path[from..].to_vec();
    match path[0].as_str() {
        "crate" => Some(rest(1)),
        "self" => Some([here, &path[1..]].concat()),
        "super" => {
            let up = path.iter().take_while(|word| *word == "super").count();
            Some([&here[..here.len().saturating_sub(up)], &path[up..]].concat())
        }
        name => known.get(name).map(|start| [start.as_slice(), &path[1..]].concat()),
    }
}

/// A function with a body.
#[derive(Debug)]
pub struct Function {
    /// The type of the `impl` and its trait, or the trait that gives it a body.
    pub owners: Vec<String>,
    pub name: String,
    signature: Vec<String>,
    /// The words of its body.
    body: Vec<String>,
}

/// All functions of a file but its tests.
pub fn functions(text: &str) -> Vec<Function> {
    let root = SourceFile::parse(text, Edition::Edition2024).syntax_node();
    let functions = root.descendants().filter_map(ast::Fn::cast);
    let functions = functions.filter(|function| !function.syntax().first_token().is_some_and(|token| is_test(&token)));
    let with_body = functions.filter_map(|function| {
        let texts = |node: &SyntaxNode| words(&node.text().to_string()).into_iter().map(|word| word.text).collect::<Vec<_>>();
        let nodes = [function.param_list().map(|list| list.syntax().clone()), function.ret_type().map(|given| given.syntax().clone())];
        let signature = nodes.iter().flatten().flat_map(texts).collect();
        let body = texts(function.body()?.syntax());
        Some(Function { owners: owners(function.syntax()), name: function.name()?.text().to_string(), signature, body })
    });
    with_body.collect()
}

fn owners(function: &SyntaxNode) -> Vec<String> {
    let base = |node: ast::Type| {
        let text = node.syntax().text().to_string();
        let plain = text.split('<').next().unwrap_or_default();
        plain.rsplit("::").next().unwrap_or_default().trim().to_string()
    };
    let Some(parent) = function.parent().and_then(|list| list.parent()) else { return Vec::new() };
    if let Some(block) = ast::Impl::cast(parent.clone()) {
        return [block.self_ty(), block.trait_()].into_iter().flatten().map(base).collect();
    }
    ast::Trait::cast(parent).and_then(|owner| Some(vec![owner.name()?.text().to_string()])).unwrap_or_default()
}

impl Function {
    /// Whether this is `name` or `Owner::name`.
    pub fn is(&self, full: &str) -> bool {
        match full.rsplit_once("::") {
            Some((owner, name)) => self.name == name && self.owners.iter().any(|own| own == owner),
            None => self.name == full && self.owners.is_empty(),
        }
    }

    /// Whether the body calls `name` or `Owner::name`, or hands it on as a function.
    pub fn calls(&self, full: &str) -> bool {
        let (owner, name) = full.rsplit_once("::").map_or((None, full), |(owner, name)| (Some(owner), name));
        let word = |at: usize| self.body.get(at).map_or("", String::as_str);
        (0..self.body.len()).filter(|&at| word(at) == name).any(|at| {
            let method = at > 0 && word(at - 1) == ".";
            let called = matches!(word(at + 1), "(" | "::") || !method && matches!(word(at + 1), ")" | ",");
            let qualified = at > 1 && word(at - 1) == "::" && (owner == Some(word(at - 2)) || word(at - 2) == "Self");
            called && if owner.is_some() { method || qualified } else { !method }
        })
    }

    /// Whether signature, body or owner has this word.
    pub fn names(&self, word: &str) -> bool {
        self.owners.iter().chain(&self.signature).chain(&self.body).any(|own| own == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(text: &str, module: &[&str]) -> Vec<String> {
        let module: Path = module.iter().map(ToString::to_string).collect();
        named(text, &module).own.into_iter().map(|path| path.join("::")).collect()
    }

    #[test]
    fn every_way_to_name_a_path_is_seen() {
        let text = r#"
            use crate::{hub, nn::{self, linear::Linear}, util::lock as key};
            use super::sibling::thing;
            mod child;
            // crate::comment::is_none
            const TEXT: &str = "crate::text::is_none";
            fn f(x: crate::models::Model) { child::g(); key::take(); hub::fetch::<u8>(); println!("{}", crate::macros::too()); self::h(); }
            mod inline { use super::here; }
            #[cfg(test)] mod tests { use crate::late::tests_may; }
        "#;
        let expected = [
            "hub",
            "hub::fetch",
            "macros::too",
            "models::Model",
            "nn",
            "nn::linear::Linear",
            "room::file::child::g",
            "room::file::h",
            "room::file::here",
            "room::sibling::thing",
            "util::lock",
            "util::lock::take",
        ];
        assert_eq!(own(text, &["room", "file"]), expected);
        assert!(named("use compute::cpu; fn f() { std::mem::take(x) }", &[]).crates.contains("compute"));
    }

    #[test]
    fn functions_have_owners_and_calls() {
        let text = "impl<T: A> Reader for room::Rows<T> { fn next(&mut self) { self.0.read(); Line::parse(x); ids.map(free) } }
            fn free() { /* read() */ \"parse(\"; }  trait Walk { fn go(&self) { step!(free(1)) } fn bare(&self); }";
        let all = functions(text);
        assert_eq!(all.len(), 3);
        assert!(all[0].is("Rows::next") && all[0].is("Reader::next") && !all[0].is("next") && !all[0].is("Line::next"));
        assert!(all[0].calls("File::read") && all[0].calls("Line::parse") && all[0].calls("free"));
        assert!(!all[0].calls("read") && !all[0].calls("Other::parse") && !all[0].calls("Rows::next"));
        assert!(!all[1].calls("read") && !all[1].calls("Line::parse"));
        assert!(all[2].is("Walk::go") && all[2].calls("free"));
    }
}
