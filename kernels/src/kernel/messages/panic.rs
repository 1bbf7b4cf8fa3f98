//! A panic of the cell process → the failure of its cell, or the text that the standard library prints.

use serde_json::Value;

use crate::kernel::messages::errors::{BLUE, Failure, KEPT, Label, OFF, plain_text, snippet};
use crate::kernel::messages::places::Places;

/// How many lines of a way are shown at either end.
const MOST: usize = 8;

/// A panic that ended a cell.
pub fn from_panic(panic: &Value, places: &Places) -> Failure {
    let message = panic["message"].as_str().unwrap_or("the cell panicked; its own panic hook has the message");
    let mut failure = Failure::new("Panic", message);
    match label(panic, places) {
        Some(label) => failure.traceback.extend(snippet(&[&label])),
        None => failure.traceback.extend(place(panic).map(|place| format!("{BLUE}-->{OFF} {place}"))),
    }
    failure.traceback.extend(way(panic, places));
    if let Some(thread) = panic["thread"].as_str().filter(|thread| *thread != "main") {
        failure.traceback.push(format!("it was in the thread {thread}, and went on in the one that waited for it"));
    }
    if ["not yet implemented", "not implemented"].iter().any(|start| message.starts_with(start)) {
        failure.traceback.push("this is the place for your code: write it instead of `todo!()`".into());
    }
    failure.traceback.push(KEPT.into());
    failure.traceback.extend(panic["backtrace"].as_str().unwrap_or_default().lines().map(str::to_string));
    failure
}

/// The panic as the standard library prints it, for panics that did not stop the cell.
pub fn panic_text(panic: &Value, places: &Places) -> String {
    let text = |field: &str| panic[field].as_str().unwrap_or_default().to_string();
    let place = label(panic, places).map(|label| format!("cell {}, line {}, column {}", label.cell, label.line, label.columns.start));
    let way: Vec<String> = way(panic, places).into_iter().map(|line| line + "\n").collect();
    format!(
        "thread '{}' panicked at {}:\n{}\n{}",
        text("thread"),
        place.or_else(|| self::place(panic)).unwrap_or_else(|| "an unknown place".into()),
        text("message"),
        plain_text(&[way.concat()])
    )
}

/// How the code came to the panic: the lines of the cells, the innermost first; nothing where that is the panic's own line alone.
fn way(panic: &Value, places: &Places) -> Vec<String> {
    let mut frames: Vec<(usize, usize, String)> = Vec::new();
    for frame in panic["frames"].as_array().into_iter().flatten() {
        let (name, line, column) = (frame[0].as_str().unwrap_or_default(), frame[1].as_u64(), frame[2].as_u64());
        let find = |(line, column): (u64, u64)| {
            // The brackets around a last expression begin on the line above it.
            let below = || {
                places
                    .find(line as usize + 1, 1)
                    .filter(|_| name.contains("run_user_code_") && !frames.iter().any(|(.., name)| name.is_empty()))
            };
            places.find(line as usize, column as usize).or_else(below)
        };
        let found = line.zip(column).and_then(find);
        let Some(place) = found else { continue };
        let (cell, line, name) = (places.number(place), place.line, function(name));
        // A statement may be several frames of one line.
        if frames.last().is_none_or(|(last, of, by)| (*last, *of, by) != (cell, line, &name)) {
            frames.push((cell, line, name));
        }
    }
    if frames.len() < 2 {
        return Vec::new();
    }
    let mut out = vec![format!("{BLUE}the way there, the last call first:{OFF}")];
    for (index, (cell, line, name)) in frames.iter().enumerate() {
        if index == MOST && frames.len() > 2 * MOST {
            out.push(format!("    … {} more …", frames.len() - 2 * MOST));
        }
        if index < MOST || index >= frames.len() - MOST.min(frames.len()) {
            out.push(format!("    cell {cell}, line {line}{name}"));
        }
    }
    out
}

/// The name of a function as the user wrote it, behind ` in `; nothing for the cell itself.
fn function(symbol: &str) -> String {
    let (mut name, mut depth) = (String::new(), 0);
    // The newer names have hashes in brackets: `ctx[12ab]::f`.
    for char in symbol.chars() {
        depth += i32::from(char == '[');
        if depth == 0 {
            name.push(char);
        }
        depth -= i32::from(char == ']');
    }
    let mut parts: Vec<&str> = name.split("::").collect();
    if parts.last().is_some_and(|last| last.len() == 17 && last.starts_with('h') && last[1..].chars().all(|char| char.is_ascii_hexdigit()))
    {
        parts.pop();
    }
    let is_closure = |part: &&str| part.starts_with("{closure") || part.starts_with("{{closure");
    let closure = parts.iter().any(&is_closure);
    // A type that was changed is in a module that the user never saw.
    let is_own = |part: &&str| !is_closure(part) && *part != "ctx" && !part.starts_with("evcxr_type_");
    let parts: Vec<&str> = parts.into_iter().filter(is_own).collect();
    let name = parts.join("::").replace("<ctx::", "<").replace("ctx::", "");
    match (name.contains("run_user_code_"), closure) {
        (true, _) => String::new(),
        (false, true) => format!(", in a closure of `{name}`"),
        (false, false) => format!(", in `{name}`"),
    }
}

fn number(panic: &Value, field: &str) -> usize {
    panic[field].as_u64().unwrap_or_default() as usize
}

/// The place in a file of another crate; the line of a source that the user never saw says nothing.
fn place(panic: &Value) -> Option<String> {
    let file = panic["file"].as_str().filter(|file| !file.is_empty() && *file != "src/lib.rs")?;
    Some(format!("{file}:{}", number(panic, "line")))
}

fn label(panic: &Value, places: &Places) -> Option<Label> {
    let place = places.find(number(panic, "line"), number(panic, "column")).filter(|_| panic["file"] == "src/lib.rs")?;
    // The mark goes to the end of the code; the panic tells only where it begins.
    let columns = place.column..places.line(place).trim_end().chars().count().max(place.column) + 1;
    Some(places.label(place, columns))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::messages::places::Source;

    #[test]
    fn a_panic_points_into_its_cell() {
        let cells = vec![
            Source { number: 2, text: "fn old() {\n    panic!(\"é\")\n}".into() },
            Source { number: 7, text: "let a = 1;\npanic!(\"boom\")".into() },
        ];
        let generated = "fn old() {\n    panic!(\"é\")\n}\npub extern \"C\" fn run_user_code_3(\nlet a = 1;\n(&(\npanic!(\"boom\")\n)).evcxr_display();\n}";
        let places = Places::new(generated, cells);
        let panic = |line: usize, column: usize, message: &str| json!({ "message": message, "file": "src/lib.rs", "line": line, "column": column, "thread": "main", "backtrace": "" });
        let failure = from_panic(&panic(7, 1, "boom\nmore"), &places);
        let text = plain_text(&failure.traceback);
        assert!(
            text.starts_with("Panic: boom\nmore\n --> cell 7, line 2, column 1\n  |\n2 | panic!(\"boom\")\n  | ^^^^^^^^^^^^^^\nthe"),
            "{text}"
        );
        assert_eq!(failure.value, "boom\nmore");
        let text = plain_text(&from_panic(&panic(2, 5, "é"), &places).traceback);
        assert!(text.contains("cell 2, line 2, column 5\n  |\n2 |     panic!(\"é\")"), "{text}");
        let text = plain_text(&from_panic(&panic(6, 1, "not yet implemented: yours"), &places).traceback);
        assert!(text.contains("write it instead of `todo!()`") && !text.contains("-->"), "{text}");
        assert_eq!(panic_text(&panic(2, 5, "é"), &places), "thread 'main' panicked at cell 2, line 2, column 5:\né\n");
    }

    #[test]
    fn a_panic_of_another_thread_or_of_an_own_hook_says_what_is_known() {
        let places = Places::default();
        let panic = json!({ "message": "lost", "file": "lib/src/nn/linear.rs", "line": 3, "column": 1, "thread": "<unnamed>" });
        let text = plain_text(&from_panic(&panic, &places).traceback);
        assert!(text.starts_with("Panic: lost\n--> lib/src/nn/linear.rs:3\nit was in the thread <unnamed>"), "{text}");
        let text = plain_text(&from_panic(&Value::Null, &places).traceback);
        assert!(text.starts_with("Panic: the cell panicked; its own panic hook has the message\nthe variables"), "{text}");
    }
}
