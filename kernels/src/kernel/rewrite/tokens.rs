//! A node of a syntax tree → its tokens, the names that it refers to, its text on one line, and a hash.

use std::hash::{DefaultHasher, Hash, Hasher};

use ra_ap_syntax::ast::{self, AstNode, HasModuleItem};
use ra_ap_syntax::{AstToken, Edition, NodeOrToken, SourceFile, SyntaxElement, SyntaxKind, SyntaxNode, SyntaxToken};

/// The syntax tree of a source.
pub fn parse(text: &str) -> ast::SourceFile {
    SourceFile::parse(text, Edition::Edition2024).tree()
}

/// The syntax tree of a cell, whose statements are those of a function; what a statement's block holds is no item.
pub fn items_of_cell(cell: &str) -> Option<ast::StmtList> {
    // Lines for the kernel or evcxr stand at the head.
    let is_head =
        |line: &&str| line.trim().is_empty() || line.starts_with("//") || line.trim_start().starts_with(':') || line.starts_with('!');
    let code: Vec<&str> = cell.lines().skip_while(is_head).collect();
    let file = parse(&format!("async fn cell() {{\n{}\n}}", code.join("\n")));
    let body = file.items().find_map(|item| if let ast::Item::Fn(function) = item { function.body() } else { None });
    body.and_then(|body| body.stmt_list())
}

/// The tokens of a node without blanks and comments, and without the nodes to leave out.
pub fn tokens(node: &SyntaxNode, leave_out: impl Fn(&SyntaxNode) -> bool) -> Vec<SyntaxToken> {
    let (mut found, mut open): (_, Vec<SyntaxElement>) = (Vec::new(), vec![node.clone().into()]);
    while let Some(element) = open.pop() {
        match element {
            NodeOrToken::Token(token) if token.kind().is_trivia() => {}
            NodeOrToken::Token(token) => found.push(token),
            NodeOrToken::Node(node) if leave_out(&node) => {}
            NodeOrToken::Node(node) => {
                let first = open.len();
                open.extend(node.children_with_tokens());
                open[first..].reverse();
            }
        }
    }
    found
}

/// The names of items that tokens may refer to, those inside of macros and attributes among them: `a`, and with what stands in
/// front of it `a::b`, or `::b` where that is no name, as in `x.b()` and `<T as A>::b`.
pub fn names(tokens: &[SyntaxToken]) -> Vec<String> {
    let is = |place: usize, kind: SyntaxKind| tokens.get(place).is_some_and(|token| token.kind() == kind);
    let mut found = Vec::new();
    for (place, token) in tokens.iter().enumerate().filter(|(_, token)| is_name(token.kind()) && refers(token)) {
        let name = plain(token.text());
        // Inside of a macro `::` is two tokens.
        let before = match place {
            1.. if is(place - 1, SyntaxKind::COLON2) => place.checked_sub(2),
            2.. if is(place - 1, SyntaxKind::COLON) && is(place - 2, SyntaxKind::COLON) => place.checked_sub(3),
            1.. if is(place - 1, SyntaxKind::DOT) => {
                found.push(format!("::{name}"));
                continue;
            }
            _ => None,
        };
        if let Some(before) = before {
            let above = &tokens[before];
            found.push(format!("{}::{name}", if is_name(above.kind()) { plain(above.text()) } else { String::new() }));
        }
        found.push(name);
    }
    found
}

/// A name as items are known by.
pub fn plain(name: &str) -> String {
    name.trim_start_matches("r#").to_string()
}

fn is_name(kind: SyntaxKind) -> bool {
    matches!(kind, SyntaxKind::IDENT | SyntaxKind::SELF_TYPE_KW)
}

fn refers(token: &SyntaxToken) -> bool {
    let Some(parent) = token.parent() else { return false };
    match parent.kind() {
        SyntaxKind::TOKEN_TREE => true,
        SyntaxKind::NAME_REF => {
            parent.parent().is_some_and(|above| ast::PathSegment::can_cast(above.kind()) || ast::MethodCallExpr::can_cast(above.kind()))
        }
        _ => false,
    }
}

/// The first word of an attribute: `cfg` of `#[cfg(unix)]`.
pub fn attribute_name(attribute: &ast::Attr) -> String {
    let words = tokens(attribute.syntax(), |_| false);
    words
        .iter()
        .find(|token| !matches!(token.kind(), SyntaxKind::POUND | SyntaxKind::BANG | SyntaxKind::L_BRACK))
        .map(|token| token.text().to_string())
        .unwrap_or_default()
}

/// The hash of tokens; blanks and comments between them do not count.
pub fn hash(tokens: &[SyntaxToken]) -> u64 {
    let mut hasher = DefaultHasher::new();
    tokens.iter().for_each(|token| token.text().hash(&mut hasher));
    hasher.finish()
}

/// The text of a node without comments on as few lines as its strings allow.
pub fn one_line(node: &SyntaxNode) -> String {
    let mut text = String::new();
    for token in node.descendants_with_tokens().filter_map(NodeOrToken::into_token) {
        match token.kind() {
            SyntaxKind::WHITESPACE => text.push(' '),
            // A comment of a macro's pattern belongs to it no more than any other.
            SyntaxKind::COMMENT if ast::Comment::cast(token.clone()).is_some() => text.push(' '),
            _ => text.push_str(token.text()),
        }
    }
    text
}

/// The bytes of a node.
pub fn range(node: &SyntaxNode) -> std::ops::Range<usize> {
    node.text_range().into()
}
