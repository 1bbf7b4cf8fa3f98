//! Lines of Rust code → for each line, whether it starts inside a string literal.
//!
//! Such a line is a part of a value: neither indentation nor a marker may be read into it.

/// What the scanner is in the middle of.
enum State {
    Code,
    /// A block comment, with its depth: they nest.
    Comment(usize),
    /// `"…"`, where `\` escapes.
    Text,
    /// `r#"…"#`, with its number of `#`.
    Raw(usize),
}

/// For each line, whether its first character is inside a string literal.
pub fn starts_inside(lines: &[&str]) -> Vec<bool> {
    let mut state = State::Code;
    lines
        .iter()
        .map(|line| {
            let inside = matches!(state, State::Text | State::Raw(_));
            state = scan(line, std::mem::replace(&mut state, State::Code));
            inside
        })
        .collect()
}

/// The state after one line.
fn scan(line: &str, mut state: State) -> State {
    let text: Vec<char> = line.chars().collect();
    let at = |i: usize| text.get(i).copied().unwrap_or('\n');
    let mut i = 0;
    while i < text.len() {
        match &mut state {
            State::Code if at(i) == '/' && at(i + 1) == '/' => return State::Code,
            State::Code if at(i) == '/' && at(i + 1) == '*' => {
                state = State::Comment(1);
                i += 1;
            }
            State::Code if at(i) == '"' => state = State::Text,
            State::Code if at(i) == 'r' && !ends_word(&text, i) => {
                let hashes = text[i + 1..].iter().take_while(|&&c| c == '#').count();
                if at(i + 1 + hashes) == '"' {
                    state = State::Raw(hashes);
                    i += 1 + hashes;
                }
            }
            // 'a' and '\'' are characters, 'a alone is a lifetime.
            State::Code if at(i) == '\'' && at(i + 1) == '\\' => {
                i += 3;
                while i < text.len() && at(i) != '\'' {
                    i += 1;
                }
            }
            State::Code if at(i) == '\'' && at(i + 2) == '\'' => i += 2,
            State::Code => {}
            State::Comment(depth) if at(i) == '*' && at(i + 1) == '/' => {
                *depth -= 1;
                i += 1;
                if *depth == 0 {
                    state = State::Code;
                }
            }
            State::Comment(depth) if at(i) == '/' && at(i + 1) == '*' => {
                *depth += 1;
                i += 1;
            }
            State::Comment(_) => {}
            State::Text if at(i) == '\\' => i += 1,
            State::Text if at(i) == '"' => state = State::Code,
            State::Text => {}
            State::Raw(hashes) => {
                let hashes = *hashes;
                if at(i) == '"' && (1..=hashes).all(|n| at(i + n) == '#') {
                    state = State::Code;
                    i += hashes;
                }
            }
        }
        i += 1;
    }
    state
}

/// Whether the character before `i` makes `text[i]` the end of a longer word; `br"…"` and `cr"…"` are strings as well.
fn ends_word(text: &[char], i: usize) -> bool {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    match i.checked_sub(1).map(|before| text[before]) {
        Some('b' | 'c') => i >= 2 && word(text[i - 2]),
        Some(before) => word(before),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::starts_inside;

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
}
