//! The text of a cell → its syntax tree, as rust-analyzer's parser makes it, or the first place that is wrong.

use notebooks::scan::{self, Nesting};
use ra_ap_parser::{LexedStr, StrStep, TopEntryPoint};
use ra_ap_syntax::ast::{self, HasModuleItem};
use ra_ap_syntax::{AstNode, AstToken, Edition, SourceFile};

/// Cells are parsed as the body of a function.
const HEAD: &str = "async fn cell() {\n";

/// Why a cell is no Rust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The byte of the cell where the parser stopped.
    pub place: usize,
    pub why: String,
}

/// The statements of a cell.
pub struct Statements(ast::StmtList);

/// Parses a cell, without making a tree of it.
///
/// The parser calls itself for each level of nesting: a cell of unknown depth needs a thread with a large stack. A tree of
/// it would be worse: rust-analyzer drops trees in a thread of its own, whose stack is small.
///
/// # Errors
/// The first place that is wrong.
pub fn check(cell: &str) -> Result<(), Wrong> {
    if let (Nesting::Mismatched(place), _) = scan::nesting(cell) {
        return Err(Wrong { place, why: "this bracket closes none".into() });
    }
    let text = format!("{HEAD}{cell}\n}}");
    let lexed = LexedStr::new(Edition::Edition2024, &text);
    let parsed = TopEntryPoint::SourceFile.parse(&lexed.to_input(Edition::Edition2024));
    let mut found: Vec<(usize, String)> = lexed.errors().map(|(token, why)| (lexed.text_range(token).start, why.to_string())).collect();
    lexed.intersperse_trivia(&parsed, &mut |step| {
        if let StrStep::Error { msg, pos } = step {
            found.push((pos, msg.to_string()));
        }
    });
    match found.into_iter().min_by_key(|(place, _)| *place) {
        Some((place, why)) => Err(Wrong { place: place.saturating_sub(HEAD.len()).min(cell.len()), why: in_signs(&why) }),
        None => Ok(()),
    }
}

/// What the parser says, with signs in place of its names for them.
fn in_signs(why: &str) -> String {
    let names = [("SEMICOLON", "`;`"), ("COMMA", "`,`"), ("EQ", "`=`"), ("COLON", "`:`"), ("FAT_ARROW", "`=>`"), ("IDENT", "a name")];
    let word = |word: &str| names.iter().find(|(name, _)| *name == word).map_or(word.to_string(), |(_, sign)| (*sign).into());
    why.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// Parses a cell that a person has written: its nesting is small.
///
/// # Errors
/// The first place that is wrong.
pub fn parse(cell: &str) -> Result<Statements, Wrong> {
    check(cell)?;
    let file = SourceFile::parse(&format!("{HEAD}{cell}\n}}"), Edition::Edition2024).tree();
    let function = file.items().find_map(|item| if let ast::Item::Fn(function) = item { function.body() } else { None });
    function.and_then(|body| body.stmt_list()).map(Statements).ok_or_else(|| Wrong { place: 0, why: "a bracket is open".into() })
}

/// A statement or an item of a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Its bytes, with the comments in front of it.
    pub range: std::ops::Range<usize>,
    /// An item, or an attribute of the whole cell: it may be compiled away from the statements around it.
    pub is_item: bool,
}

/// The pieces of a cell, as evcxr splits it: whatever is no Rust is a piece as well.
pub fn pieces(cell: &str) -> Vec<Piece> {
    let file = SourceFile::parse(&format!("{HEAD}{cell}\n}}"), Edition::Edition2024).tree();
    let function = file.items().find_map(|item| if let ast::Item::Fn(function) = item { function.body() } else { None });
    let nodes = function.and_then(|body| body.stmt_list()).into_iter().flat_map(|list| list.syntax().children().collect::<Vec<_>>());
    let place = |size: ra_ap_syntax::TextSize| usize::from(size).saturating_sub(HEAD.len()).min(cell.len());
    let piece = |node: ra_ap_syntax::SyntaxNode| Piece {
        range: place(node.text_range().start())..place(node.text_range().end()),
        is_item: ast::Item::can_cast(node.kind()) || ast::Attr::can_cast(node.kind()),
    };
    nodes.map(piece).collect()
}

impl Statements {
    /// The nodes of the tree, in order.
    pub fn list(&self) -> &ast::StmtList {
        &self.0
    }

    /// The semicolons behind items: at the root of a crate, where evcxr puts items, they are errors.
    pub fn idle_semicolons(&self) -> Vec<usize> {
        let (mut found, mut after_item) = (Vec::new(), false);
        for element in self.0.syntax().children_with_tokens() {
            match element {
                ra_ap_syntax::NodeOrToken::Node(node) => after_item = ast::Item::can_cast(node.kind()),
                ra_ap_syntax::NodeOrToken::Token(token) if after_item && token.text() == ";" => {
                    found.push(usize::from(token.text_range().start()) - HEAD.len());
                }
                ra_ap_syntax::NodeOrToken::Token(_) => {}
            }
        }
        found
    }

    /// The bytes of the cell that a node takes, without blanks and plain comments in front of it.
    pub fn range(node: &impl AstNode) -> std::ops::Range<usize> {
        Statements::range_of(node.syntax())
    }

    /// The same for a node of any kind.
    pub fn range_of(node: &ra_ap_syntax::SyntaxNode) -> std::ops::Range<usize> {
        let mut tokens = node.descendants_with_tokens().filter_map(|element| element.into_token());
        let is_code = |token: &ra_ap_syntax::SyntaxToken| {
            !token.kind().is_trivia() || ast::Comment::cast(token.clone()).is_some_and(|comment| comment.is_doc())
        };
        let whole = node.text_range();
        let start = tokens.find(is_code).map_or(whole.start(), |token| token.text_range().start());
        usize::from(start) - HEAD.len()..usize::from(whole.end()) - HEAD.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_place_is_a_byte_of_the_cell() {
        let place = |cell: &str| check(cell).err().map(|wrong| wrong.place);
        assert_eq!(place("let é = 1;\nlet = 2;"), Some("let é = 1;\nlet".len()));
        assert_eq!(place("let x ="), Some("let x =".len()));
        assert_eq!(place("}\nfn f() {"), Some(0));
        assert_eq!(place("#![allow(unused)]\nf().await?; // é"), None);
    }

    #[test]
    fn a_node_lies_where_its_text_is() {
        let cell = "// plain\n/// é\nfn f() {}\n// more\nf()";
        let statements = parse(cell).ok().unwrap();
        let item = statements.list().statements().next().unwrap();
        assert_eq!(&cell[Statements::range(&item)], "/// é\nfn f() {}");
        assert_eq!(&cell[Statements::range(&statements.list().tail_expr().unwrap())], "f()");
    }
}
