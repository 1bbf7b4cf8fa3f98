//! The text of a cell → is it complete, where is the cursor, which lines are for the kernel itself.

/// The answer to `is_complete_request`.
#[derive(Debug, PartialEq, Eq)]
pub enum Completeness {
    Complete,
    /// More is needed; a client indents the next line by this text.
    Incomplete(String),
    Invalid,
}

/// What the scanner is inside of.
enum Inside {
    Code,
    Line,
    Block(usize),
    Text,
    Raw(usize),
}

/// Whether brackets, quotes and comments are closed and the last line wants no continuation.
pub fn completeness(code: &str) -> Completeness {
    if code.trim_start().starts_with([':', '!']) {
        return Completeness::Complete;
    }
    let chars: Vec<char> = code.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let (mut open, mut inside, mut index) = (Vec::new(), Inside::Code, 0);
    // The code without comments and with every literal as one quote.
    let mut plain = String::new();
    while index < chars.len() {
        let (char, next) = (chars[index], at(index + 1));
        let mut step = 1;
        match inside {
            Inside::Code => match char {
                '/' if next == '/' => inside = Inside::Line,
                '/' if next == '*' => (inside, step) = (Inside::Block(1), 2),
                '"' => inside = Inside::Text,
                'r' if !is_word(index.checked_sub(1).map_or(' ', at)) || "bc".contains(at(index - 1)) => {
                    let hashes = chars[index + 1..].iter().take_while(|char| **char == '#').count();
                    if at(index + 1 + hashes) == '"' {
                        (inside, step) = (Inside::Raw(hashes), hashes + 2);
                    } else {
                        plain.push('r');
                    }
                }
                '\'' => {
                    step = quoted_char(&chars[index..]);
                    plain.push('\'');
                }
                '(' | '[' | '{' => {
                    open.push(char);
                    plain.push(char);
                }
                ')' | ']' | '}' => {
                    let wanted = match char {
                        ')' => '(',
                        ']' => '[',
                        _ => '{',
                    };
                    if open.pop() != Some(wanted) {
                        return Completeness::Invalid;
                    }
                    plain.push(char);
                }
                _ => plain.push(char),
            },
            Inside::Line if char == '\n' => {
                inside = Inside::Code;
                plain.push('\n');
            }
            Inside::Block(depth) if char == '/' && next == '*' => (inside, step) = (Inside::Block(depth + 1), 2),
            Inside::Block(depth) if char == '*' && next == '/' => {
                inside = if depth == 1 { Inside::Code } else { Inside::Block(depth - 1) };
                step = 2;
            }
            Inside::Text if char == '\\' => step = 2,
            Inside::Text if char == '"' => {
                inside = Inside::Code;
                plain.push('"');
            }
            Inside::Raw(hashes) if char == '"' && chars[index + 1..].iter().take(hashes).filter(|char| **char == '#').count() == hashes => {
                (inside, step) = (Inside::Code, 1 + hashes);
                plain.push('"');
            }
            _ => {}
        }
        index += step;
    }
    let unfinished = !matches!(inside, Inside::Code | Inside::Line);
    if unfinished || !open.is_empty() || wants_more(plain.trim_end()) {
        return Completeness::Incomplete("    ".repeat(open.len()));
    }
    Completeness::Complete
}

/// Whether code with closed brackets still ends in the middle of something.
fn wants_more(code: &str) -> bool {
    let last_word = code.rsplit(|char| !is_word(char)).next().unwrap_or_default();
    let operator = ["=", "+", "-", "*", "/", "%", "&", "|", "^", "<", ",", "->", "=>", "::"].iter().any(|end| code.ends_with(end));
    let dot = code.ends_with('.') && !code.ends_with("..");
    let attribute = code.starts_with("#[") && code.ends_with(']') && code.lines().count() == 1;
    let first_word =
        code.trim_start().strip_prefix("pub ").unwrap_or(code.trim_start()).split(|char| !is_word(char)).next().unwrap_or_default();
    let header = ["fn", "struct", "enum", "impl", "trait", "mod", "for", "while", "if", "match", "loop"].contains(&first_word);
    operator || dot || attribute || last_word == "else" || (header && !code.contains(['{', ';']))
}

/// The length of a character literal, or of the quote of a lifetime.
fn quoted_char(chars: &[char]) -> usize {
    match chars {
        [_, '\\', escaped, rest @ ..] => match rest.iter().take(10).position(|char| *char == '\'') {
            Some(end) => end + 4,
            None => 2 + usize::from(*escaped != '\0'),
        },
        [_, _, '\'', ..] => 3,
        _ => 1,
    }
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

/// The byte offset of a cursor that counts characters, as Jupyter's does.
pub fn byte_offset(code: &str, cursor: usize) -> usize {
    code.char_indices().nth(cursor).map_or(code.len(), |(index, _)| index)
}

/// The number of characters before a byte offset.
pub fn char_offset(code: &str, byte: usize) -> usize {
    code.char_indices().take_while(|(index, _)| *index < byte).count()
}

/// The byte range of the identifier around a byte offset, or in front of it.
pub fn word_at(code: &str, byte: usize) -> std::ops::Range<usize> {
    let start = code[..byte].rfind(|char| !is_word(char)).map_or(0, |index| index + code[index..].chars().next().map_or(1, char::len_utf8));
    let end = code[byte..].find(|char| !is_word(char)).map_or(code.len(), |length| byte + length);
    start..end
}

/// The path or method chain that ends with the identifier at `byte`, such as `Vec::new` or `tokenizer.encode`.
pub fn chain_at(code: &str, byte: usize) -> &str {
    let word = word_at(code, byte);
    let in_chain = |char: char| is_word(char) || matches!(char, '.' | ':');
    let start =
        code[..word.start].rfind(|char| !in_chain(char)).map_or(0, |index| index + code[index..].chars().next().map_or(1, char::len_utf8));
    code[start..word.end].trim_start_matches(['.', ':'])
}

/// The cell without the lines that the kernel does itself, and the level of an `:opt` line; line numbers stay.
///
/// The lines are `:dep finetuning = …`, which the stock kernel needs and this one does not, and `:opt`.
pub fn without_own_lines(code: &str) -> (String, Option<String>) {
    let (mut head, mut level) = (true, None);
    let lines = code.split('\n').map(|line| {
        let text = line.trim();
        head &= text.is_empty() || text.starts_with([':', '!']) || text.starts_with("//");
        let own_dependency = text
            .strip_prefix(":dep ")
            .and_then(|rest| rest.trim_start().strip_prefix("finetuning"))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '=']));
        let optimization = text.strip_prefix(":opt ").map(str::trim).filter(|level| ["0", "1", "2", "3"].contains(level));
        if !head || !(own_dependency || optimization.is_some()) {
            return line;
        }
        level = optimization.map(str::to_string).or(level.take());
        ""
    });
    let code = lines.collect::<Vec<_>>().join("\n");
    (code, level)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complete_cells() {
        let cells = [
            "let x = 1;",
            "x",
            "fn f() { 1 }",
            "let a = &'a';",
            "fn f<'a>(x: &'a str) -> &'a str { x }",
            "r#\"(\"#",
            "'\\''",
            "\"a \\\" (\"",
            "// (",
            "/* ( /* */ ( */ 1",
            ":dep regex = \"1\"",
            "0..",
            "br\"{\"",
            "let r = 1; r",
            "b'('",
            "if a { 1 } else { 2 }",
            "var",
            "",
        ];
        for cell in cells {
            assert_eq!(completeness(cell), Completeness::Complete, "{cell}");
        }
    }

    #[test]
    fn incomplete_cells() {
        for (cell, indent) in [
            ("fn f() {", 1),
            ("let x =", 0),
            ("vec![(1,", 2),
            ("\"abc", 0),
            ("r#\"a\"", 0),
            ("/* a", 0),
            ("a.", 0),
            ("for i in 0..3", 0),
            ("if a { 1 } else", 0),
            ("#[derive(Debug)]", 0),
        ] {
            assert_eq!(completeness(cell), Completeness::Incomplete("    ".repeat(indent)), "{cell}");
        }
    }

    #[test]
    fn invalid_cells() {
        for cell in ["fn f() }", "(]", "vec![1, 2)"] {
            assert_eq!(completeness(cell), Completeness::Invalid, "{cell}");
        }
    }

    #[test]
    fn cursors_count_characters() {
        let code = "let é = \"ü\"; é.le";
        let byte = byte_offset(code, 17);
        assert_eq!(byte, code.len());
        assert_eq!(char_offset(code, byte), 17);
        assert_eq!(&code[word_at(code, byte)], "le");
        assert_eq!(chain_at(code, byte), "é.le");
        assert_eq!(chain_at("f(Vec::new())", 8), "Vec::new");
    }

    #[test]
    fn own_lines_are_dropped_and_no_others() {
        let dropped = |code: &str| without_own_lines(code).0;
        assert_eq!(dropped(":dep finetuning = { path = \"../lib\" }\nuse finetuning::*;"), "\nuse finetuning::*;");
        assert_eq!(dropped(":dep finetuning2 = \"1\""), ":dep finetuning2 = \"1\"");
        assert_eq!(dropped("let s = \"\n:dep finetuning\";"), "let s = \"\n:dep finetuning\";");
        assert_eq!(without_own_lines("// fast\n:opt 3\n1"), ("// fast\n\n1".into(), Some("3".into())));
    }
}
