//! A name that was given and those that exist → the words of a message: quoted, and the nearest first.

use crate::error::{Error, ErrorKind};

/// A choice that does not exist, with the ones that do.
pub(crate) fn unknown(kind: ErrorKind, what: &str, given: &str, allowed: &[String]) -> Error {
    Error::new(kind, format!("{what} `{given}` does not exist; there are: {}", quoted(allowed)))
}

/// `a`, `b`, `c`: how lists of names are written in messages.
pub(crate) fn quoted(names: &[String]) -> String {
    let plain = |name: &String| if name.contains(char::is_control) { name.escape_debug().to_string() } else { name.clone() };
    names.iter().map(|name| format!("`{}`", plain(name))).collect::<Vec<_>>().join(", ")
}

/// Letters that are shown of what a file says.
const BEGINNING: usize = 60;
/// The same of an error of a library, which quotes it and then says what is allowed.
const QUOTING: usize = 600;

/// The beginning of what a file says, for messages: it may be as long as the file.
pub(crate) fn beginning(text: impl std::fmt::Display) -> String {
    shortened(text, BEGINNING)
}

/// [`beginning`] of an error that quotes a file.
pub(crate) fn quoting(error: impl std::fmt::Display) -> String {
    shortened(error, QUOTING)
}

fn shortened(text: impl std::fmt::Display, letters: usize) -> String {
    let text = text.to_string();
    match text.char_indices().nth(letters) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}

/// Letters of a name that count when it is compared with others: the work grows with their square.
const COMPARED: usize = 200;

/// The three names that need the fewest changes of a letter.
pub(crate) fn near(given: &str, names: &[String]) -> String {
    let short = |text: &str| text.chars().take(COMPARED).collect::<String>();
    let given = short(given);
    let mut by_distance: Vec<(usize, &String)> = names.iter().map(|name| (strsim::levenshtein(&given, &short(name)), name)).collect();
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
