//! `line!()`, `column!()`, `file!()`, `module_path!()` and `dbg!` in the cells → the same with the place in the cell.
//!
//! Of what rustc compiles the user sees nothing: its file and its lines say nothing. Inside of a macro's definition they are
//! left alone, since there they mean the place of its call.

use ra_ap_syntax::ast::{self, AstNode};
use ra_ap_syntax::{SyntaxKind, SyntaxToken, TextRange};

use crate::kernel::messages::places::{Place, Places, Source};
use crate::kernel::rewrite::edits::Edits;
use crate::kernel::rewrite::tokens;

const NAMES: [&str; 5] = ["line", "column", "file", "module_path", "dbg"];

/// Whether there is anything to do.
pub fn are_named(source: &str) -> bool {
    NAMES.iter().any(|name| source.contains(&format!("{name}!")))
}

/// The changes; `cells` are those whose items live, the running one last.
pub fn edits(file: &ast::SourceFile, source: &str, cells: Vec<Source>) -> Edits {
    let (places, mut edits) = (Places::new(source, cells), Edits::default());
    let own = ast::MacroRules::can_cast;
    let defined = |name: &str| {
        let mut macros = file.syntax().children().filter(|node| own(node.kind())).filter_map(ast::MacroRules::cast);
        macros.any(|found| ast::HasName::name(&found).is_some_and(|found| found.text() == name))
    };
    let tokens = tokens::tokens(file.syntax(), |_| false);
    let starts = line_starts(source);
    for (index, token) in tokens.iter().enumerate() {
        let Some(name) = NAMES.iter().find(|name| **name == token.text()).filter(|_| token.kind() == SyntaxKind::IDENT) else { continue };
        let next = |after: usize| tokens.get(index + after).filter(|_| true);
        let is_call = next(1).is_some_and(|token| token.kind() == SyntaxKind::BANG);
        let Some(open) =
            next(2).filter(|token| is_call && matches!(token.kind(), SyntaxKind::L_PAREN | SyntaxKind::L_BRACK | SyntaxKind::L_CURLY))
        else {
            continue;
        };
        let Some(path) = path(&tokens, index).filter(|_| !defined(name)) else { continue };
        if token.parent_ancestors().any(|node| own(node.kind())) {
            continue;
        }
        let Some(place) = place(&places, &starts, source, path.start().into()) else { continue };
        let cell = places.number(place);
        if *name == "dbg" {
            let brackets: TextRange = path.cover(open.text_range());
            let opening = open.text();
            edits.replace(brackets.into(), format!("evcxr_dbg!{opening}\"cell {cell}:{}:{}\"; ", place.line, place.column));
            continue;
        }
        let Some(close) = next(3).filter(|token| matches!(token.kind(), SyntaxKind::R_PAREN | SyntaxKind::R_BRACK | SyntaxKind::R_CURLY))
        else {
            continue;
        };
        let text = match *name {
            "line" => format!("{}u32", place.line),
            "column" => format!("{}u32", place.column),
            "file" => format!("\"cell {cell}\""),
            _ => format!("\"cell_{cell}\""),
        };
        edits.replace(path.cover(close.text_range()).into(), text);
    }
    edits
}

/// The name of a macro with what stands before it; none if it is somebody else's.
fn path(tokens: &[SyntaxToken], index: usize) -> Option<TextRange> {
    let kind = |back: usize| index.checked_sub(back).map(|place| tokens[place].kind());
    let text = |back: usize| tokens[index - back].text();
    // `std::line`, whose `::` is one token, or two inside of a macro.
    let length = match (kind(1), kind(2)) {
        (Some(SyntaxKind::COLON2), _) => 1,
        (Some(SyntaxKind::COLON), Some(SyntaxKind::COLON)) => 2,
        _ => return Some(tokens[index].text_range()),
    };
    let is_std = kind(length + 1) == Some(SyntaxKind::IDENT) && ["std", "core"].contains(&text(length + 1));
    let is_longer = matches!(kind(length + 2), Some(SyntaxKind::COLON2 | SyntaxKind::COLON));
    (is_std && !is_longer).then(|| tokens[index - length - 1].text_range().cover(tokens[index].text_range()))
}

fn line_starts(source: &str) -> Vec<usize> {
    std::iter::once(0).chain(source.match_indices('\n').map(|(newline, _)| newline + 1)).collect()
}

/// The place in a cell of a byte of the source.
fn place(places: &Places, starts: &[usize], source: &str, byte: usize) -> Option<Place> {
    let line = starts.partition_point(|start| *start <= byte);
    let column = source[starts[line - 1]..byte].chars().count() + 1;
    places.find(line, column)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::rewrite::tokens;

    #[test]
    fn places_are_those_of_the_cells() {
        let cells = vec![
            Source { number: 4, text: "\nfn old() -> u32 { line!() }".into() },
            Source { number: 9, text: "let é = 1; dbg!(é);\nprintln!(\"{} {}\", file!(), std::column![]);".into() },
        ];
        let source = "macro_rules! m { () => { line!() } }\nfn old() -> u32 { line!() }\nfn other() { line!() }\n\
            pub extern \"C\" fn run_user_code_3(\nlet é = 1;\ndbg!(é);\nprintln!(\"{} {}\", file!(), std::column![]);\nx::line!();";
        assert!(are_named(source) && !are_named("fn line() {}"));
        let expected = "macro_rules! m { () => { line!() } }\nfn old() -> u32 { 2u32 }\nfn other() { line!() }\n\
            pub extern \"C\" fn run_user_code_3(\nlet é = 1;\nevcxr_dbg!(\"cell 9:1:12\"; é);\nprintln!(\"{} {}\", \"cell 9\", 28u32);\nx::line!();";
        assert_eq!(edits(&tokens::parse(source), source, cells).apply(source), expected);
        let own = format!("macro_rules! dbg {{ () => {{}} }}\n{source}");
        assert!(edits(&tokens::parse(&own), &own, vec![Source { number: 1, text: "dbg!(é);".into() }]).is_empty());
    }
}
