//! A text and changes of pieces of it → the changed text, with every line where it was.

use std::ops::Range;

use crate::kernel::messages::places::Move;

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
        let (mut changed, mut done) = (String::with_capacity(text.len()), 0);
        for (piece, new) in self.in_order() {
            changed.push_str(&text[done..piece.start]);
            changed.push_str(new);
            changed.push_str(&"\n".repeat(missing(&text[piece.clone()], new)));
            done = piece.end;
        }
        changed + &text[done..]
    }

    /// Where a column of the changed text is another one than in the text.
    pub fn moves(&self, text: &str) -> Vec<Move> {
        let (mut line, mut column, mut done, mut moves) = (1, 1, 0, Vec::new());
        let pass = |piece: &str, line: &mut usize, column: &mut usize| match piece.rfind('\n') {
            Some(newline) => {
                *line += piece.matches('\n').count();
                *column = piece[newline + 1..].chars().count() + 1;
            }
            None => *column += piece.chars().count(),
        };
        for (piece, new) in self.in_order() {
            pass(&text[done..piece.start], &mut line, &mut column);
            pass(new, &mut line, &mut column);
            pass(&"\n".repeat(missing(&text[piece.clone()], new)), &mut line, &mut column);
            done = piece.end;
            let start = text[..done].rfind('\n').map_or(0, |newline| newline + 1);
            moves.push(Move { line, column, shift: text[start..done].chars().count() as isize + 1 - column as isize });
        }
        moves
    }

    fn in_order(&self) -> impl Iterator<Item = &(Range<usize>, String)> {
        let mut edits: Vec<&(Range<usize>, String)> = self.0.iter().collect();
        edits.sort_by_key(|(piece, _)| (piece.start, !piece.is_empty(), std::cmp::Reverse(piece.end)));
        let mut done = 0;
        edits.retain(|(piece, _)| {
            let counts = piece.start >= done;
            done = if counts { piece.end } else { done };
            counts
        });
        edits.into_iter()
    }
}

/// How many lines a new text has less than the old one.
fn missing(old: &str, new: &str) -> usize {
    let lines = |text: &str| text.matches('\n').count();
    lines(old).saturating_sub(lines(new))
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
        // Of what is in front of `é` and behind it.
        let (text, mut edits) = ("a\nbb é c\nd", Edits::default());
        edits.insert(5, "12");
        edits.replace(7..9, "");
        assert_eq!(edits.apply(text), "a\nbb 12é\nd");
        let moves: Vec<(usize, usize, isize)> = edits.moves(text).iter().map(|of| (of.line, of.column, of.shift)).collect();
        assert_eq!(moves, [(2, 6, -2), (2, 7, 0)]);
    }
}
