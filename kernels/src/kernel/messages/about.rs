//! The name of an item and the cells → where it is written, and its text.

use notebooks::scan::{self, Kind};

use crate::kernel::messages::directive;
use crate::kernel::messages::places::Source;
use crate::syntax;

/// What stands in front of the name of an item.
const KEYWORDS: [&str; 9] = ["fn", "struct", "enum", "union", "trait", "type", "const", "static", "mod"];

/// The item with a name, with the documentation in front of it: that of the newest cell which has one, and its number.
pub fn source(cells: &[Source], name: &str) -> Option<(usize, String)> {
    let name = name.trim_end_matches('!');
    cells.iter().rev().find_map(|cell| Some((cell.number, item(&directive::rust(&cell.text), name)?)))
}

fn item(code: &str, name: &str) -> Option<String> {
    if !code.contains(name) {
        return None;
    }
    let pieces = syntax::pieces(code).into_iter().filter(|piece| piece.is_item);
    let texts: Vec<&str> = pieces.map(|piece| code[piece.range].trim()).collect();
    texts.into_iter().rev().find(|text| declared(text) == Some(name)).map(str::to_string)
}

/// The name that an item declares.
fn declared(item: &str) -> Option<&str> {
    let mut words = scan::tokens(item).filter(|token| token.kind == Kind::Other && !token.text.trim().is_empty());
    // `const fn` has two.
    let mut known = false;
    words.find_map(|word| match word.text {
        "macro_rules" => {
            known = true;
            None
        }
        text if KEYWORDS.contains(&text) => {
            known = true;
            None
        }
        "!" | "mut" | "unsafe" | "extern" | "async" => None,
        text if known => Some(text),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_item_of_a_name_is_found_with_its_documentation() {
        let cells = [
            Source { number: 2, text: "fn f() {}\nfn other() { f() }".into() },
            Source { number: 5, text: ":dep x\n/// Says é.\n#[inline]\npub const fn f(a: u8) -> u8 {\n    a\n}\nlet f2 = f(1);\nmacro_rules! m { () => {} }\nstruct P<T>(T);".into() },
        ];
        assert_eq!(source(&cells, "f"), Some((5, "/// Says é.\n#[inline]\npub const fn f(a: u8) -> u8 {\n    a\n}".into())));
        assert_eq!(source(&cells, "other"), Some((2, "fn other() { f() }".into())));
        assert_eq!(source(&cells, "m!"), Some((5, "macro_rules! m { () => {} }".into())));
        assert_eq!(source(&cells, "P"), Some((5, "struct P<T>(T);".into())));
        assert_eq!((source(&cells, "f2"), source(&cells, "a")), (None, None));
    }
}
