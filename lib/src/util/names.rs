//! A name that was given and those that exist → the words of a message: quoted, and the nearest first.

use crate::error::{Error, ErrorKind};

/// A choice that does not exist, with the ones that do.
pub(crate) fn unknown(kind: ErrorKind, what: &str, given: &str, allowed: &[String]) -> Error {
    Error::new(kind, format!("{what} `{given}` does not exist; there are: {}", quoted(allowed)))
}

/// `a`, `b`, `c`: how lists of names are written in messages.
pub(crate) fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The three names that need the fewest changes of a letter.
pub(crate) fn near(given: &str, names: &[String]) -> String {
    let mut by_distance: Vec<(usize, &String)> = names.iter().map(|name| (strsim::levenshtein(given, name), name)).collect();
    by_distance.sort();
    quoted(&by_distance.iter().take(3).map(|(_, name)| (*name).clone()).collect::<Vec<_>>())
}

/// Rows that are shown by number, before `…`.
const SHOWN: usize = 10;

/// `3 rows (0, 4, 7)`, `1 row (5)`: how rows are named in messages, the first ones of many.
pub(crate) fn rows_by_number(rows: &[usize]) -> String {
    let numbers: Vec<String> = rows.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = if rows.len() > SHOWN { ", …" } else { "" };
    format!("{} {} ({}{more})", rows.len(), if rows.len() == 1 { "row" } else { "rows" }, numbers.join(", "))
}
