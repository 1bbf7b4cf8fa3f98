//! What the compiler said of a library that it made → its warnings about the running cell, as plain text.

use serde_json::Value;

use crate::kernel::messages::diagnostic::{Diagnostic, Note};
use crate::kernel::messages::directive;
use crate::kernel::messages::errors::{Label, plain_text};
use crate::kernel::messages::places::Places;
use crate::syntax;

/// Lints that a later cell may prove wrong: it can use what is unused here.
const TOO_EARLY: [&str; 5] = ["dead_code", "unused_imports", "unused_macros", "unused_macro_rules", "unused_mut"];

/// How many warnings of one cell are shown.
const MOST: usize = 10;

/// The text, empty if there is nothing to say; `places` is asked only when there is a warning.
pub fn warnings(messages: &str, places: impl FnOnce() -> Places) -> String {
    let is_one = |message: &Value| message["level"] == "warning" && message["spans"].as_array().is_some_and(|spans| !spans.is_empty());
    let messages: Vec<Value> = messages.lines().filter_map(|line| serde_json::from_str(line).ok()).filter(is_one).collect();
    if messages.is_empty() {
        return String::new();
    }
    let places = places();
    let mut found: Vec<Diagnostic> = messages.iter().filter_map(|message| warning(message, &places)).collect();
    found.sort_by_key(|warning| warning.place().map(|label| (label.line, label.columns.start)));
    found.dedup();
    let mut text: String = found.iter().take(MOST).map(|warning| plain_text(&warning.render()) + "\n").collect();
    if found.len() > MOST {
        text += &format!("warning: {} more of this cell are not shown\n", found.len() - MOST);
    }
    text
}

/// A warning that is about the running cell: all its primary labels are.
fn warning(message: &Value, places: &Places) -> Option<Diagnostic> {
    let mut found = Diagnostic::from_json(message, places);
    if found.distance != 0 || found.code.as_deref().is_some_and(|code| TOO_EARLY.contains(&code)) {
        return None;
    }
    let running = places.last_number();
    let is_here = found.labels.iter().filter(|label| label.primary).all(|label| label.cell == running);
    // Which lint it is stands in the headline already.
    let says_more = |note: &Note| !(note.text.starts_with("`#[") && note.text.contains("on by default"));
    found.notes.retain(says_more);
    let is_known_later = match found.code.as_deref() {
        Some("unused_variables" | "unused_assignments") => found.place().is_none_or(|label| may_be_used_later(label, places)),
        _ => false,
    };
    (is_here && !is_known_later).then_some(found)
}

/// Whether a variable is the cell's own, which the next cell may use, or one of code that is yet to be written.
fn may_be_used_later(label: &Label, places: &Places) -> bool {
    let Some(text) = places.running_text() else { return true };
    let rust = directive::rust(text);
    let line_start: usize = rust.split_inclusive('\n').take(label.line - 1).map(str::len).sum();
    let byte = line_start + rust[line_start..].chars().take(label.columns.start - 1).map(char::len_utf8).sum::<usize>();
    let Some(piece) = syntax::pieces(&rust).into_iter().find(|piece| piece.range.contains(&byte)) else { return true };
    let code = &rust[piece.range.clone()];
    if ["todo!", "unimplemented!"].iter().any(|yet| code.contains(yet)) {
        return true;
    }
    // In front of the first `=` of a `let` stands what the cell keeps, and so it is with `x = 1;`.
    let pattern = code.find('=').unwrap_or(code.len());
    !piece.is_item && byte - piece.range.start < pattern && !code.trim_start().starts_with(['{', '|'])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::messages::places::Source;

    fn places() -> Places {
        let cells = vec![
            Source { number: 2, text: "fn old(x: i32) -> i32 { 1 }".into() },
            Source { number: 3, text: "fn new(y: i32) -> i32 { 2 }\nlet a = old(1);".into() },
        ];
        Places::new(
            "fn old(x: i32) -> i32 { 1 }\nfn new(y: i32) -> i32 { 2 }\npub extern \"C\" fn run_user_code_1(\nlet a = old(1);\n}",
            cells,
        )
    }

    fn message(level: &str, code: &str, line: usize) -> String {
        let span = json!({ "file_name": "src/lib.rs", "line_start": line, "line_end": line, "column_start": 8, "column_end": 9, "is_primary": true, "label": "" });
        let note =
            json!({ "level": "note", "message": "`#[warn(unused_variables)]` (part of `#[warn(unused)]`) on by default", "spans": [] });
        json!({ "level": level, "code": { "code": code }, "message": "unused variable", "spans": [span], "children": [note] }).to_string()
    }

    #[test]
    fn only_what_is_wrong_in_this_cell_for_good_is_said() {
        let said = |messages: &[String]| warnings(&messages.join("\n"), places);
        let own = said(&[message("warning", "unused_variables", 2), "no json".into(), message("warning", "unused_variables", 2)]);
        assert_eq!(
            own,
            "warning[unused_variables]: unused variable\n --> cell 3, line 1, column 8\n  |\n1 | fn new(y: i32) -> i32 { 2 }\n  |        ^\n"
        );
        for other in [
            message("warning", "unused_variables", 1),
            message("warning", "unused_variables", 3),
            message("warning", "dead_code", 2),
            message("error", "unused_variables", 2),
        ] {
            assert_eq!(said(&[other]), "");
        }
        let many: Vec<String> = (0..20).map(|n| message("warning", &format!("lint_{n}"), 2)).collect();
        let text = said(&many);
        assert!(text.ends_with("\nwarning: 10 more of this cell are not shown\n"), "{text}");
        assert_eq!(text.matches("unused variable").count(), MOST);
    }
}
