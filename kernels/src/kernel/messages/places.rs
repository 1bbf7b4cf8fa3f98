//! A line of the source that evcxr compiled → the cell and the line that it was written in.
//!
//! evcxr gives each statement and each item of a cell lines of their own, word for word: the statements of the running cell
//! in their order behind the head of a function, the items of all cells anywhere.

use std::collections::HashMap;

use crate::kernel::messages::directive;
use crate::kernel::messages::errors::Label;
use crate::syntax;

/// A place in a cell; lines and columns (characters) count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The position of its cell among the sources.
    pub cell: usize,
    pub line: usize,
    pub column: usize,
}

/// The text of a cell and its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub number: usize,
    pub text: String,
}

/// From this column of a line of the compiled source on, columns of the generated source are so many more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    pub line: usize,
    pub column: usize,
    pub shift: isize,
}

/// A piece of a cell: its lines, and how many lines and characters are in front of it.
struct Own {
    cell: usize,
    is_item: bool,
    lines: Vec<String>,
    line: usize,
    column: usize,
}

impl Own {
    fn all(cell: usize, text: &str) -> Vec<Own> {
        let text = directive::rust(text);
        let own = |piece: syntax::Piece| {
            // evcxr drops comments at the head of a cell.
            let code =
                text[piece.range.clone()].split_inclusive('\n').skip_while(|line| line.trim().is_empty() || line.trim().starts_with("//"));
            let start = piece.range.end - code.map(str::len).sum::<usize>();
            let own = text[start..piece.range.end].trim();
            let before = &text[..start + text[start..piece.range.end].find(own)?];
            let (line, column) = (before.matches('\n').count(), before.chars().rev().take_while(|char| *char != '\n').count());
            let lines: Vec<String> = own.lines().map(str::to_string).collect();
            (!lines.is_empty()).then_some(Own { cell, is_item: piece.is_item, lines, line, column })
        };
        syntax::pieces(&text).into_iter().filter_map(own).collect()
    }
}

/// How a line of the generated source lies in a cell.
#[derive(Clone, Copy)]
struct Line {
    cell: usize,
    line: usize,
    /// What a column of the cell has more than that of the generated source.
    shift: isize,
}

/// All lines of the generated source that a cell wrote.
#[derive(Default)]
pub struct Places {
    lines: HashMap<usize, Line>,
    cells: Vec<Source>,
    moves: Vec<Move>,
}

/// What stands in front of the statements of the running cell, when it is compiled and when it is only checked.
const HEADS: [&str; 2] = ["pub extern \"C\" fn run_user_code_", "async fn evcxr_analysis_wrapper("];

impl Places {
    /// The lines of `generated` that come from these cells; the last one is the running cell.
    pub fn new(generated: &str, cells: Vec<Source>) -> Places {
        let generated: Vec<&str> = generated.lines().collect();
        let mut starts: HashMap<&str, Vec<usize>> = HashMap::new();
        for (index, line) in generated.iter().enumerate() {
            starts.entry(line.trim()).or_default().push(index);
        }
        let mut pieces: Vec<Own> = cells.iter().enumerate().flat_map(|(cell, source)| Own::all(cell, &source.text)).collect();
        // A line of an item may be an item itself: the longest of the newest cell goes first.
        pieces.sort_by_key(|piece| std::cmp::Reverse((!piece.is_item, if piece.is_item { piece.lines.len() } else { 0 }, piece.cell)));
        let mut places = Places { lines: HashMap::new(), cells, moves: Vec::new() };
        let running = places.running();
        let mut next = generated.iter().position(|line| HEADS.iter().any(|head| line.starts_with(head))).unwrap_or(generated.len());
        for piece in pieces.iter().filter(|piece| piece.is_item || piece.cell == running) {
            let fits = |at: &usize| {
                let lines = generated.get(*at..*at + piece.lines.len()).unwrap_or_default();
                !lines.is_empty() && lines.iter().zip(&piece.lines).all(|(line, own)| line.trim_start().starts_with(own.trim()))
            };
            let free = |at: &usize| (*at..*at + piece.lines.len()).all(|line| !places.lines.contains_key(&line));
            let mut stands_below = false;
            let found = if piece.is_item {
                let known = starts.get(piece.lines[0].trim()).into_iter().flatten().copied();
                // A comment may stand behind an item of one line.
                let or_any = (0..generated.len()).filter(|_| piece.lines.len() == 1);
                known.chain(or_any).find(|at| fits(at) && free(at))
            } else {
                let below = (next..generated.len()).find(fits);
                stands_below = below.is_some();
                // A call of a macro that makes items stands among these.
                below.or_else(|| (0..next).filter(|_| piece.lines[0].contains('!')).find(|at| fits(at) && free(at)))
            };
            let Some(at) = found else { continue };
            if stands_below {
                next = at + piece.lines.len();
            }
            let before = generated[at].chars().take_while(|char| char.is_whitespace()).count();
            for index in 0..piece.lines.len() {
                let shift = if index == 0 { piece.column as isize - before as isize } else { 0 };
                places.lines.insert(at + index, Line { cell: piece.cell, line: piece.line + index + 1, shift });
            }
        }
        places
    }

    /// The same for a source that differs from the generated one by these columns.
    pub fn moved(self, moves: Vec<Move>) -> Places {
        Places { moves, ..self }
    }

    /// Where a place of the compiled source was written.
    pub fn find(&self, line: usize, column: usize) -> Option<Place> {
        let found = self.lines.get(&line.checked_sub(1)?)?;
        let mut before = self.moves.iter().filter(|of| of.line == line && of.column <= column);
        let shift = before.next_back().map_or(0, |of| of.shift) + found.shift;
        Some(Place { cell: found.cell, line: found.line, column: column.saturating_add_signed(shift).max(1) })
    }

    /// The position of the running cell.
    pub fn running(&self) -> usize {
        self.cells.len().saturating_sub(1)
    }

    /// A place of the running cell.
    pub fn of_running(&self, line: usize, column: usize) -> Option<Place> {
        let lines = self.running_text()?.lines().count();
        (1..=lines).contains(&line).then_some(Place { cell: self.running(), line, column })
    }

    /// The text of the running cell.
    pub fn running_text(&self) -> Option<&str> {
        self.cells.last().map(|cell| cell.text.as_str())
    }

    /// The number of the running cell.
    pub fn last_number(&self) -> usize {
        self.cells.last().map_or(0, |cell| cell.number)
    }

    /// The number of a place's cell.
    pub fn number(&self, place: Place) -> usize {
        self.cells[place.cell].number
    }

    /// Columns of the line of a place, as a primary label without a text.
    pub fn label(&self, place: Place, columns: std::ops::Range<usize>) -> Label {
        let source = self.line(place).to_string();
        Label { cell: self.number(place), line: place.line, columns, text: String::new(), primary: true, source }
    }

    /// The line of a place.
    pub fn line(&self, place: Place) -> &str {
        self.cells[place.cell].text.lines().nth(place.line - 1).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GENERATED: &str = "#![allow(x)]\n/// é\nfn old() {\n    1 / 0;\n}\nfn new() -> i32 { 2 } // c\n\
        pub extern \"C\" fn run_user_code_3(\n{\nlet a = 1; \nlet b = 1;\nlet b = 1;\n(&(\n            old()\n)).evcxr_display();\n}";

    #[test]
    fn lines_are_those_of_the_cells_that_wrote_them() {
        let source = |number: usize, text: &str| Source { number, text: text.into() };
        let cells = vec![
            source(4, "struct Gone;\n\n/// é\nfn old() {\n    1 / 0;\n}"),
            source(7, ":dep x\nlet a = 1; let b = 1;\n  let b = 1; old()\nfn new() -> i32 { 2 } // c"),
        ];
        let places = Places::new(GENERATED, cells);
        let find = |line, column| places.find(line, column).map(|place| (places.number(place), place.line, place.column));
        assert_eq!(find(4, 5), Some((4, 5, 5)));
        assert_eq!(find(6, 4), Some((7, 4, 4)));
        assert_eq!(find(9, 5), Some((7, 2, 5)));
        assert_eq!(find(10, 5), Some((7, 2, 16)));
        // Of two equal lines each has its own place.
        assert_eq!(find(11, 5), Some((7, 3, 7)));
        assert_eq!(find(13, 13), Some((7, 3, 14)));
        assert_eq!((find(1, 1), find(7, 1), find(14, 1), find(99, 1)), (None, None, None, None));
        assert_eq!(places.line(Place { cell: 0, line: 5, column: 1 }), "    1 / 0;");
        assert_eq!(places.running(), 1);
        let places = places.moved(vec![Move { line: 10, column: 4, shift: -3 }, Move { line: 10, column: 9, shift: -5 }]);
        let column = |line, column| places.find(line, column).map(|place| place.column);
        assert_eq!([column(10, 3), column(10, 5), column(10, 9), column(9, 9)], [Some(14), Some(13), Some(15), Some(9)]);
    }
}
