//! A text and changes of pieces of it → the changed text, with every line where it was.

use std::ops::Range;

/// Changes of one text.
#[derive(Debug, Default, Clone)]
pub struct Edits(Vec<(Range<usize>, String)>);

impl Edits {
    /// Puts a text of one line in front of a place.
    pub fn insert(&mut self, place: usize, text: impl Into<String>) {
        self.replace(place..place, text);
    }

    /// Puts another text in the place of a piece; it must not have more lines.
    pub fn replace(&mut self, piece: Range<usize>, text: impl Into<String>) {
        self.0.push((piece, text.into()));
    }

    /// Adds other changes of the same text.
    pub fn add(&mut self, other: &Edits) {
        self.0.extend(other.0.iter().cloned());
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The changed text. A change inside of a piece that is replaced is left out.
    pub fn apply(&self, text: &str) -> String {
        let mut edits: Vec<&(Range<usize>, String)> = self.0.iter().collect();
        edits.sort_by_key(|(piece, _)| (piece.start, !piece.is_empty(), std::cmp::Reverse(piece.end)));
        let (mut changed, mut done) = (String::with_capacity(text.len()), 0);
        for (piece, new) in edits.into_iter() {
            if piece.start < done {
                continue;
            }
            changed.push_str(&text[done..piece.start]);
            changed.push_str(new);
            let lines = |text: &str| text.matches('\n').count();
            changed.push_str(&"\n".repeat(lines(&text[piece.clone()]).saturating_sub(lines(new))));
            done = piece.end;
        }
        changed + &text[done..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_where_they_were() {
        let text = "one\ntwo\nthree\nfour";
        let mut edits = Edits::default();
        edits.replace(4..13, "2");
        edits.replace(8..13, "inside of another");
        edits.insert(4, "a ");
        edits.insert(0, "0 ");
        edits.insert(text.len(), "!");
        assert_eq!(edits.apply(text), "0 one\na 2\n\nfour!");
        assert_eq!(Edits::default().apply(text), text);
    }
}
