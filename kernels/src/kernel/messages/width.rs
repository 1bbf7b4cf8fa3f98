//! Characters → the columns that they take.

use unicode_width::UnicodeWidthChar;

/// The columns of a character: two for the wide ones of East Asia, none for an accent that combines; one for a tab, which
/// stays a tab.
pub fn columns(char: char) -> usize {
    match char {
        '\t' => 1,
        char => char.width().unwrap_or(0),
    }
}

/// Blanks as wide as a text; a tab stays a tab.
pub fn blank(text: impl Iterator<Item = char>) -> String {
    text.flat_map(|char| std::iter::repeat_n(if char == '\t' { '\t' } else { ' ' }, columns(char))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_and_combining_characters_are_measured() {
        assert_eq!("aé漢🙂e\u{301}".chars().map(columns).collect::<Vec<_>>(), [1, 1, 2, 2, 1, 0]);
        assert_eq!(blank("\t漢e\u{301}".chars()), "\t   ");
    }
}
