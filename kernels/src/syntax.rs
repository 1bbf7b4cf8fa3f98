//! The text of a cell → its syntax tree, as rust-analyzer's parser makes it, or the first place that is wrong.

use notebooks::scan::{self, Nesting};
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

/// Parses a cell whose brackets are closed.
///
/// The parser calls itself for each level of nesting: a cell of unknown depth needs a thread with a large stack.
///
/// # Errors
/// The first place that is wrong.
pub fn parse(cell: &str) -> Result<Statements, Wrong> {
    if let (Nesting::Mismatched(place), _) = scan::nesting(cell) {
        return Err(Wrong { place, why: "this bracket closes none".into() });
    }
    let parse = SourceFile::parse(&format!("{HEAD}{cell}\n}}"), Edition::Edition2024);
    let wrong = parse.errors().into_iter().min_by_key(|error| error.range().start());
    if let Some(error) = wrong {
        let place = usize::from(error.range().start()).saturating_sub(HEAD.len());
        return Err(Wrong { place: place.min(cell.len()), why: error.to_string() });
    }
    let function = parse.tree().items().find_map(|item| if let ast::Item::Fn(function) = item { function.body() } else { None });
    function.and_then(|body| body.stmt_list()).map(Statements).ok_or_else(|| Wrong { place: 0, why: "a bracket is open".into() })
}

impl Statements {
    /// The nodes of the tree, in order.
    pub fn list(&self) -> &ast::StmtList {
        &self.0
    }

    /// The bytes of the cell that a node takes, without blanks and plain comments in front of it.
    pub fn range(node: &impl AstNode) -> std::ops::Range<usize> {
        let tokens = node.syntax().descendants_with_tokens().filter_map(|element| element.into_token());
        let is_code = |token: &ra_ap_syntax::SyntaxToken| {
            !token.kind().is_trivia() || ast::Comment::cast(token.clone()).is_some_and(|comment| comment.is_doc())
        };
        let whole = node.syntax().text_range();
        let start = tokens.into_iter().find(is_code).map_or(whole.start(), |token| token.text_range().start());
        usize::from(start) - HEAD.len()..usize::from(whole.end()) - HEAD.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_place_is_a_byte_of_the_cell() {
        let place = |cell: &str| parse(cell).err().map(|wrong| wrong.place);
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
