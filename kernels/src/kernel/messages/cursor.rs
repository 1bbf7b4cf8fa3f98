//! The text of a cell and a cursor in it → the word, the chain of names and the call around the cursor.

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

/// The end of the name of the function in whose call a byte offset is, if it is in one.
pub fn callee(code: &str, byte: usize) -> Option<usize> {
    // Backwards, over the calls that are closed; brackets in texts are rare, and then another name is found.
    let mut depth = 0;
    for (place, char) in code[..byte].char_indices().rev() {
        match char {
            ')' | ']' | '}' => depth += 1,
            '(' | '[' | '{' if depth > 0 => depth -= 1,
            '(' if code[..place].ends_with(is_word) => return Some(place),
            '{' | ';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn the_function_around_a_cursor_is_found() {
        let callee_of = |before: &str| callee(before, before.len()).map(|end| chain_at(before, end).to_string());
        assert_eq!(callee_of("Vec::with_capacity(").as_deref(), Some("Vec::with_capacity"));
        assert_eq!(callee_of("let é = é.insert(f(1), \"ü\", ").as_deref(), Some("é.insert"));
        assert_eq!(callee_of("f((1, [2, ").as_deref(), Some("f"));
        assert_eq!(callee_of("f(1); "), None);
        assert_eq!(callee_of("f(|| { "), None);
    }
}
