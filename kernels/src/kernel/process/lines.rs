//! Texts and records ↔ the lines between kernel, supervisor and runner; evcxr, through which most of them go, reads by lines
//! and looks for its tokens in each.

/// Begins a line of standard output, escaped.
pub const OUT: &str = "\x02O";
/// Begins a line of standard error, escaped.
pub const ERR: &str = "\x02E";
/// The cell panicked, or its `?` returned an error.
pub const PANICKED: &str = "\x02K{\"panicked\":true}";
pub const FAILED: &str = "\x02K{\"failed\":true}";
/// What the supervisor tells the runner of a question: the answer, or that there is none.
pub const ANSWER: &str = "ANSWER ";
pub const REFUSE: &str = "REFUSE";
/// The line in the place of an answer that makes the cell's reading of its standard input fail.
pub const REFUSED: &str = "\x02REFUSED";

/// Text as one line, so that it passes evcxr's reading by lines unchanged.
pub fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r").replace("EVCXR_", "EVCXR\\_")
}

/// A record as one line in which evcxr finds none of its tokens; they can only stand in a text of it.
pub fn escape_json(record: &serde_json::Value) -> String {
    record.to_string().replace("EVCXR_", "EVCXR\\u005f")
}

/// The text that [`escape`] was given.
pub fn unescape(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(char) = chars.next() {
        match (char, char == '\\') {
            (_, false) => text.push(char),
            _ => match chars.next() {
                Some('n') => text.push('\n'),
                Some('r') => text.push('\r'),
                Some(other) => text.push(other),
                None => text.push('\\'),
            },
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_text_is_one_line_without_tokens() {
        for text in ["a\nb\r\\n", "EVCXR_BEGIN_CONTENT x", "é\\", ""] {
            let line = escape(text);
            assert!(!line.contains('\n') && !line.contains("EVCXR_"));
            assert_eq!(unescape(&line), text);
        }
        let record = serde_json::json!({ "display": "\\EVCXR_BEGIN_CONTENT x" });
        assert!(!escape_json(&record).contains("EVCXR_"));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&escape_json(&record)).unwrap(), record);
    }
}
