//! `Location::caller()` in the cells → the same, told as the place in the cell.
//!
//! A location is made by rustc alone, of the place where a call stands. So files are written that bear the names of the cells
//! and hold nothing but calls of an operator, each on the line and in the column of a call in the cell; what `caller` answers is
//! looked up there.

use ra_ap_syntax::ast::{self, AstNode, HasAttrs, HasName};
use ra_ap_syntax::{SyntaxKind, SyntaxToken};

use crate::kernel::messages::places::{Place, Places};
use crate::kernel::rewrite::edits::Edits;
use crate::kernel::rewrite::tokens;

const MODULE: &str = include_str!("../../../assets/child/callers.rs");
const OPEN: &str = "crate::evcxr_callers::in_cell(";
/// The folder of the files beside the source, which is no part of their names for rustc.
pub const FOLDER: &str = "at";
/// What makes a location, and what all of them are made of.
const CALL: &str = "!";
const END: &str = "NONE";

/// A file by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub name: String,
    pub text: String,
}

/// Whether there is anything to do.
pub fn are_asked(source: &str) -> bool {
    source.contains("Location") && source.contains("caller")
}

/// The changes: each answer is looked up.
pub fn edits(file: &ast::SourceFile) -> Edits {
    let mut edits = Edits::default();
    let words = tokens::tokens(file.syntax(), |_| false);
    let text = |place: usize| words.get(place).map(SyntaxToken::text).unwrap_or_default();
    for (place, word) in words.iter().enumerate().filter(|(_, word)| word.text() == "caller") {
        let Some(before) = colons(&words, place).filter(|before| text(*before) == "Location") else { continue };
        let is_call = text(place + 1) == "(" && text(place + 2) == ")";
        // A macro is copied to the first line.
        if !is_call || word.parent_ancestors().any(|node| ast::MacroRules::can_cast(node.kind())) {
            continue;
        }
        let mut start = before;
        while let Some(above) = colons(&words, start) {
            start = above;
        }
        edits.insert(words[start].text_range().start().into(), OPEN);
        edits.insert(words[place + 2].text_range().end().into(), ")");
    }
    edits
}

/// The name in front of `::`, which is one token, or two inside of a macro.
fn colons(words: &[SyntaxToken], place: usize) -> Option<usize> {
    let is = |back: usize, kind: SyntaxKind| place.checked_sub(back).is_some_and(|place| words[place].kind() == kind);
    let length = match () {
        () if is(1, SyntaxKind::COLON2) => 1,
        () if is(1, SyntaxKind::COLON) && is(2, SyntaxKind::COLON) => 2,
        () => return None,
    };
    is(length + 1, SyntaxKind::IDENT).then(|| place - length - 1)
}

/// What stands below a changed source, and the files that it needs; `places` are those of the changed source.
pub fn module(file: &ast::SourceFile, source: &str, places: &Places) -> (String, Vec<Named>) {
    let mut names = vec!["caller".to_string()];
    for node in file.syntax().descendants() {
        let tracked = ast::Fn::cast(node.clone())
            .filter(|item| item.attrs().any(|attribute| tokens::attribute_name(&attribute) == "track_caller"))
            .and_then(|item| item.name());
        let own = ast::MacroRules::cast(node).and_then(|item| item.name());
        names.extend(tracked.or(own).map(|name| name.text().to_string()));
    }
    let found = calls(source, &names).into_iter().filter_map(|at| Some((places.find(at.0, at.1)?, at)));
    let mut found: Vec<(Place, (usize, usize))> = found.collect();
    found.sort_unstable();
    found.dedup_by_key(|(place, _)| *place);
    let (mut compiled, mut lists, mut files) = (String::new(), String::new(), Vec::new());
    for cell in found.chunk_by(|(one, _), (other, _)| one.cell == other.cell) {
        let name = format!("cell {}", places.number(cell[0].0));
        cell.iter().for_each(|(_, (line, column))| compiled += &format!("({line},{column}),"));
        lists += &format!("include!(\"{FOLDER}/{name}\"),");
        files.push(Named { name, text: text(cell.iter().map(|(place, _)| *place)) });
    }
    (MODULE.replace("COMPILED", &compiled).replace("LISTS", &lists), files)
}

/// The lines and columns of the calls in a source whose last name is one of these.
fn calls(source: &str, names: &[String]) -> Vec<(usize, usize)> {
    let is_path = |char: &char| char.is_alphanumeric() || ['_', ':'].contains(char);
    let mut found = Vec::new();
    for (number, line) in source.lines().enumerate() {
        let line: Vec<char> = line.chars().collect();
        for end in (1..line.len()).filter(|end| is_path(&line[end - 1]) && matches!(line[*end], '(' | '!')) {
            let start = end - line[..end].iter().rev().take_while(|char| is_path(char)).count();
            let path: String = line[start..end].iter().collect();
            let is_definition = line[..start].ends_with(&['f', 'n', ' ']);
            if !is_definition && names.iter().any(|name| path.rsplit("::").next() == Some(name)) {
                found.push((number + 1, start + 1));
            }
        }
    }
    found
}

/// Calls at these places, which are in order.
fn text(places: impl Iterator<Item = Place>) -> String {
    let (mut text, mut line, mut column) = (String::new(), 1, 1);
    for place in places {
        if place.line > line {
            text += &"\n".repeat(place.line - line);
            (line, column) = (place.line, 1);
        }
        text += &" ".repeat(place.column - column);
        text += CALL;
        column = place.column + CALL.len();
    }
    text + END
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::messages::places::Source;

    #[test]
    fn a_file_has_a_call_where_the_cell_has_one() {
        let tracked = "#[track_caller] fn at() -> u32 { std::panic::Location::caller().line() }";
        let cells = vec![Source { number: 4, text: format!("\n{tracked}\nfn f() {{ at(at()); x::at(); there() }}") }];
        let source = format!("fn f() {{ at(at()); x::at(); there() }}\n{tracked}");
        let file = tokens::parse(&source);
        assert!(are_asked(&source) && !are_asked("fn caller() {}"));
        let edits = edits(&file);
        let changed = edits.apply(&source);
        assert!(changed.contains("{ crate::evcxr_callers::in_cell(std::panic::Location::caller()).line() }"), "{changed}");
        let places = Places::new(&source, cells).moved(edits.moves(&source));
        let (module, files) = module(&file, &changed, &places);
        let column = tracked.find("std").unwrap() + OPEN.len() + 1;
        assert!(module.contains(&format!("![(2,{column}),(1,10),(1,13),(1,20),]")), "{module}");
        let line = format!("\n{}!\n_________!__!______!NONE", "_".repeat(33));
        assert_eq!(files, [Named { name: "cell 4".into(), text: line.replace('_', " ") }]);
        assert_eq!(module.matches("include!(\"at/cell 4\")").count(), 1, "{module}");
    }

    #[test]
    fn what_only_looks_like_it_is_left_alone() {
        for source in
            ["fn f() { own::caller(); Location::callers(); Location::caller; }", "macro_rules! m { () => { Location::caller() } }"]
        {
            assert_eq!(edits(&tokens::parse(source)).apply(source), source);
        }
        let source = "fn f() { println!(\"{}\", panic::Location::caller()); }";
        assert!(edits(&tokens::parse(source)).apply(source).contains(&format!("{OPEN}panic::Location::caller())")));
    }
}
