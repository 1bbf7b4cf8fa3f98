//! The text of Rust code → its tokens, and what follows from them without parsing: which brackets are open, which lines
//! begin inside of a string, which lines at the head of a cell are for the kernel.
//!
//! The lexer is rustc's own, in the version that rust-analyzer brings into the kernel.

use ra_ap_rustc_lexer::{FrontmatterAllowed, LiteralKind, TokenKind, tokenize};

/// A piece of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Blank,
    Comment,
    /// A string literal of any form.
    Text,
    Open(char),
    Close(char),
    Other,
}

/// A token and where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'a> {
    pub kind: Kind,
    /// Its first byte.
    pub start: usize,
    pub text: &'a str,
    /// Whether it has its end: false only for a string or a comment that lasts until the end of the code.
    pub ended: bool,
}

/// The tokens of code; together they are its text.
pub fn tokens(code: &str) -> impl Iterator<Item = Token<'_>> {
    let mut start = 0;
    tokenize(code, FrontmatterAllowed::No).map(move |token| {
        let (kind, ended) = kind(token.kind);
        let text = &code[start..start + token.len as usize];
        let token = Token { kind, start, text, ended };
        start += text.len();
        token
    })
}

fn kind(kind: TokenKind) -> (Kind, bool) {
    use LiteralKind::{ByteStr, CStr, RawByteStr, RawCStr, RawStr, Str};
    match kind {
        TokenKind::Whitespace => (Kind::Blank, true),
        TokenKind::LineComment { .. } => (Kind::Comment, true),
        TokenKind::BlockComment { terminated, .. } => (Kind::Comment, terminated),
        TokenKind::Literal { kind: Str { terminated } | ByteStr { terminated } | CStr { terminated }, .. } => (Kind::Text, terminated),
        TokenKind::Literal { kind: RawStr { n_hashes } | RawByteStr { n_hashes } | RawCStr { n_hashes }, .. } => {
            (Kind::Text, n_hashes.is_some())
        }
        TokenKind::OpenParen => (Kind::Open('('), true),
        TokenKind::OpenBracket => (Kind::Open('['), true),
        TokenKind::OpenBrace => (Kind::Open('{'), true),
        TokenKind::CloseParen => (Kind::Close('('), true),
        TokenKind::CloseBracket => (Kind::Close('['), true),
        TokenKind::CloseBrace => (Kind::Close('{'), true),
        _ => (Kind::Other, true),
    }
}

/// Where the last token ends that is neither blank nor comment.
pub fn end(code: &str) -> usize {
    let tokens = tokens(code).filter(|token| !matches!(token.kind, Kind::Blank | Kind::Comment));
    tokens.last().map_or(0, |token| token.start + token.text.len())
}

/// For each line, whether its first character is inside a string literal: neither indentation nor a marker may be read into
/// such a line.
pub fn starts_inside(lines: &[&str]) -> Vec<bool> {
    let mut inside = vec![false; lines.len()];
    let text = lines.join("\n");
    let mut line = 0;
    for token in tokens(&text) {
        for _ in token.text.matches('\n') {
            line += 1;
            inside[line] = token.kind == Kind::Text;
        }
    }
    inside
}

/// What is open at the end of code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nesting {
    Closed,
    /// A string or a comment.
    InText,
    /// Brackets, opened in so many lines: however many a line opens, what follows is one level deeper.
    Open(usize),
    /// A bracket at this byte closes none that is open.
    Mismatched(usize),
}

/// What is open at the end of code, and how deep brackets are nested in it.
pub fn nesting(code: &str) -> (Nesting, usize) {
    let (mut line, mut deepest, mut in_text) = (0, 0, false);
    // What is open, and in which line it was opened.
    let mut open: Vec<(char, usize)> = Vec::new();
    for token in tokens(code) {
        line += token.text.matches('\n').count();
        in_text = !token.ended;
        match token.kind {
            Kind::Open(bracket) => {
                open.push((bracket, line));
                deepest = deepest.max(open.len());
            }
            Kind::Close(wanted) if open.pop().is_none_or(|(opened, _)| opened != wanted) => {
                return (Nesting::Mismatched(token.start), deepest);
            }
            _ => {}
        }
    }
    let mut lines: Vec<usize> = open.iter().map(|(_, line)| *line).collect();
    lines.dedup();
    let nesting = match lines.len() {
        _ if in_text => Nesting::InText,
        0 => Nesting::Closed,
        levels => Nesting::Open(levels),
    };
    (nesting, deepest)
}

/// How many lines at the head of a cell are no Rust: empty ones, comments, `:commands` for the kernel and `!lines` for the
/// shell.
pub fn head_lines(cell: &str) -> usize {
    let is_head = |line: &&str| {
        let text = line.trim();
        text.is_empty() || text.starts_with([':', '!']) || text.starts_with("//")
    };
    cell.split('\n').take_while(is_head).count()
}

#[cfg(test)]
mod tests {
    use super::{Nesting, end, head_lines, nesting, starts_inside};

    fn inside(text: &str) -> String {
        let lines: Vec<&str> = text.lines().collect();
        starts_inside(&lines).iter().map(|&inside| if inside { 'x' } else { '.' }).collect()
    }

    #[test]
    fn strings_over_several_lines_are_found() {
        assert_eq!(inside("let a = \"one\ntwo\nthree\";\nlet b = 1;"), ".xx.");
        assert_eq!(inside("let a = r#\"one \"\ntwo\"#;\nnext"), ".x.");
        assert_eq!(inside("let a = br\"one\ntwo\";\nnext"), ".x.");
        assert_eq!(inside("let a = \"one\\\"\ntwo\";\nnext"), ".x.");
    }

    #[test]
    fn characters_lifetimes_comments_and_words_are_no_strings() {
        assert_eq!(inside("let a = '\"';\nlet b = '\\'';\nfn f<'a>(x: &'a str) {}\nlet c = b'\"';\nnext"), ".....");
        assert_eq!(inside("// don't \"\n/* \" /* */\n \" */ let a = 1;\nnext"), "....");
        assert_eq!(inside("let for_r = r#type;\nlet color\nnext"), "...");
    }

    #[test]
    fn open_brackets_count_by_lines_and_quotes_hide_them() {
        assert_eq!(nesting("f(\"(\", '(', /* ( */ [1]) // ("), (Nesting::Closed, 2));
        assert_eq!(nesting("foo(|x| {\n    if x {"), (Nesting::Open(2), 3));
        assert_eq!(nesting("(]"), (Nesting::Mismatched(1), 1));
        for open in ["\"abc", "r#\"a\"", "/* a /* */"] {
            assert_eq!(nesting(open), (Nesting::InText, 0), "{open}");
        }
    }

    #[test]
    fn the_end_and_the_head_leave_out_comments() {
        assert_eq!(end("let é = 1; // x\n/* y */\n"), "let é = 1;".len());
        assert_eq!(end("// x"), 0);
        assert_eq!(head_lines("// a\n:dep x\n\n!ls\nlet x = 1;\n:vars"), 4);
    }
}
