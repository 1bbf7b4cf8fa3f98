//! A message of rustc as JSON → its headline, labels, notes and suggested fixes in the cells that the user wrote.

use serde_json::Value;

use crate::kernel::messages::errors::{BLUE, BOLD, Label, OFF, RED, remark, snippet};
use crate::kernel::messages::places::{Place, Places};
use crate::kernel::messages::rules::rule;

/// A message of the compiler in terms of the cells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub level: String,
    /// How far it is from the cell: 0 for its code, 1 where evcxr keeps its variables behind it, 2 for evcxr's lines alone.
    pub distance: usize,
    pub code: Option<String>,
    pub message: String,
    pub labels: Vec<Label>,
    pub notes: Vec<Note>,
}

/// What stands under a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// `note` or `help`.
    pub kind: String,
    pub text: String,
    /// Where it points.
    pub labels: Vec<Label>,
}

/// The source of the cells, as the compiler names it; that of a dependency is a whole path.
const FILE: &str = "src/lib.rs";

impl Diagnostic {
    /// A message in the compiler's JSON.
    pub fn from_json(json: &Value, places: &Places) -> Diagnostic {
        let text = |name: &str| json[name].as_str().unwrap_or_default().to_string();
        let labels: Vec<Label> = spans(json).filter_map(|span| label(span, places)).collect();
        Diagnostic {
            level: text("level"),
            distance: match labels.iter().any(|label| label.primary) {
                true => usize::from(is_about_keeping(json)),
                false => 2,
            },
            code: json["code"]["code"].as_str().map(str::to_string),
            message: in_cells(&text("message"), places),
            labels,
            notes: children(json).filter_map(|child| note(child, places)).collect(),
        }
    }

    /// Where it is: the first primary label.
    pub fn place(&self) -> Option<&Label> {
        self.labels.iter().find(|label| label.primary).or(self.labels.first())
    }

    /// The message, the places with their labels, then the notes.
    pub fn render(&self) -> Vec<String> {
        let code = self.code.as_ref().map(|code| format!("[{code}]")).unwrap_or_default();
        let mut out = vec![format!("{RED}{}{code}{OFF}{BOLD}: {}{OFF}", self.level, self.message)];
        out.extend(snippet(&self.labels.iter().collect::<Vec<_>>()));
        if let Some(rule) = self.code.as_deref().and_then(rule) {
            out.extend(remark("rule", rule));
        }
        for note in &self.notes {
            if note.labels.is_empty() {
                out.extend(remark(&note.kind, &note.text));
            } else {
                out.push(format!("{BLUE}{}{OFF}: {}", note.kind, note.text));
                out.extend(snippet(&note.labels.iter().collect::<Vec<_>>()));
            }
        }
        out
    }
}

fn spans(json: &Value) -> impl Iterator<Item = &Value> {
    json["spans"].as_array().into_iter().flatten()
}

fn children(json: &Value) -> impl Iterator<Item = &Value> {
    json["children"].as_array().into_iter().flatten()
}

/// Whether a message points at the lines with which evcxr keeps the cell's variables.
fn is_about_keeping(json: &Value) -> bool {
    let keeps = |span: &Value| span["text"].to_string().contains("evcxr_variable_store");
    spans(json).any(keeps) || children(json).flat_map(spans).any(keeps)
}

/// A span in the cells: its own, or that of the macro call that it came from.
fn place(span: &Value, places: &Places) -> Option<(Place, std::ops::Range<usize>)> {
    let number = |name: &str| span[name].as_u64().map(|number| number as usize);
    let own = span["file_name"].as_str().is_some_and(|file| file == FILE);
    let found = || {
        let (first, start) = (number("line_start")?, number("column_start")?);
        let place = places.find(first, start)?;
        let end = match number("column_end") {
            Some(end) if number("line_end") == Some(first) => place.column + end.saturating_sub(start),
            // A mark over several lines goes to the end of its first one.
            _ => places.line(place).trim_end().chars().count() + 1,
        };
        Some((place, place.column..end.max(place.column)))
    };
    own.then(found)
        .flatten()
        .or_else(|| span["expansion"]["span"].as_object().and_then(|_| self::place(&span["expansion"]["span"], places)))
}

fn label(span: &Value, places: &Places) -> Option<Label> {
    let (place, columns) = place(span, places)?;
    Some(Label {
        text: in_cells(span["label"].as_str().unwrap_or_default(), places),
        primary: span["is_primary"].as_bool().unwrap_or(false),
        ..places.label(place, columns)
    })
}

/// A note or a help; none for what only points at code that the user cannot see.
fn note(child: &Value, places: &Places) -> Option<Note> {
    let kind = child["level"].as_str().filter(|level| ["note", "help"].contains(level))?.to_string();
    let mut text = in_cells(child["message"].as_str()?, places);
    let spans: Vec<&Value> = spans(child).collect();
    let labels: Vec<Label> = spans.iter().filter_map(|span| label(span, places)).collect();
    let fixes: Vec<(&str, &Value)> = spans.iter().filter_map(|span| Some((span["suggested_replacement"].as_str()?, *span))).collect();
    if fixes.is_empty() {
        // The name of a bound in the standard library helps; "function defined here" does not without a here.
        let helps = spans.is_empty() || !labels.is_empty() || text.contains('`');
        return (helps && !text.contains("evcxr")).then_some(Note { kind, text, labels });
    }
    for line in fixed(&fixes, places) {
        text += &format!("\n{line}");
    }
    Some(Note { kind, text, labels: Vec::new() })
}

/// The lines that a suggestion leads to.
fn fixed(fixes: &[(&str, &Value)], places: &Places) -> Vec<String> {
    let mut found: Vec<(Place, std::ops::Range<usize>, &str)> = Vec::new();
    for (text, span) in fixes {
        match place(span, places) {
            Some((place, columns)) => found.push((place, columns, text)),
            // Such as a `use` line at the head of the generated source.
            None => return fixes.iter().map(|(text, _)| text.trim().to_string()).filter(|text| !text.is_empty()).collect(),
        }
    }
    found.sort_by_key(|(place, columns, _)| (*place, columns.end));
    let apart = found.windows(2).all(|pair| {
        (pair[0].0.cell, pair[0].0.line) != (pair[1].0.cell, pair[1].0.line) || pair[0].1.end <= pair[1].1.start && pair[0].1 != pair[1].1
    });
    // Several texts for one place are alternatives.
    let groups: Vec<&[(Place, std::ops::Range<usize>, &str)]> =
        if apart { found.chunk_by(|a, b| (a.0.cell, a.0.line) == (b.0.cell, b.0.line)).collect() } else { found.chunks(1).collect() };
    let change = |group: &[(Place, std::ops::Range<usize>, &str)]| {
        let mut line: Vec<char> = places.line(group[0].0).chars().collect();
        for (_, columns, text) in group.iter().rev() {
            let (start, end) = ((columns.start - 1).min(line.len()), (columns.end - 1).min(line.len()));
            line.splice(start..end, text.chars());
        }
        let line: String = line.into_iter().collect();
        format!("line {}: {}", group[0].0.line, line.trim())
    };
    groups.into_iter().map(change).collect()
}

/// A text of the compiler with places and names of the generated source turned into those of the cells.
fn in_cells(text: &str, places: &Places) -> String {
    let text = text.replace("`evcxr_variable_store`", "<end of input>");
    let (mut out, mut rest) = (String::new(), text.as_str());
    while let Some(at) = rest.find("src/lib.rs:") {
        out += &rest[..at];
        let tail = &rest[at + "src/lib.rs:".len()..];
        // `12:5: 12:8` or `12:5`
        let end = tail.find(|char: char| !char.is_ascii_digit() && char != ':').unwrap_or(tail.len());
        let mut numbers = tail[..end].trim_end_matches(':').split(':').map(|number| number.parse().unwrap_or(0));
        let found = places.find(numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        out += &found.map_or("a cell".into(), |place| format!("cell {}, line {}", places.number(place), place.line));
        rest = &tail[end..];
        if let Some(until) = rest.strip_prefix(' ').filter(|_| tail[..end].ends_with(':')) {
            rest = until.trim_start_matches(|char: char| char.is_ascii_digit() || char == ':');
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::messages::errors::plain_text;
    use crate::kernel::messages::places::Source;

    fn places() -> Places {
        let cells = vec![
            Source { number: 2, text: "fn h(x: i32) -> i32 { x }".into() },
            Source { number: 3, text: "let é = 1;\nlet y = 2; h(1, é)".into() },
        ];
        let head = "pub extern \"C\" fn run_user_code_1(";
        Places::new(
            &format!("fn h(x: i32) -> i32 {{ x }}\n{head}\nlet é = 1;\nlet y = 2; \n(&(\n           h(1, é)\n)).evcxr_display();"),
            cells,
        )
    }

    fn span(line: usize, columns: std::ops::Range<usize>, label: &str) -> Value {
        json!({ "file_name": "src/lib.rs", "line_start": line, "line_end": line, "column_start": columns.start, "column_end": columns.end, "label": label, "is_primary": true })
    }

    #[test]
    fn a_message_with_its_note_and_its_fix_is_in_the_cells() {
        let mut fix = span(6, 15..18, "");
        fix["suggested_replacement"] = "".into();
        let json = json!({ "level": "error", "code": { "code": "E0061" }, "message": "this function takes 1 argument but 2 arguments were supplied",
            "spans": [span(6, 12..13, ""), span(6, 17..18, "unexpected argument #2")],
            "children": [{ "level": "note", "message": "function defined here", "spans": [span(1, 4..5, "")] },
                { "level": "help", "message": "remove the extra argument", "spans": [fix] },
                { "level": "note", "message": "method defined here", "spans": [{ "file_name": "/rustc/library/x.rs", "line_start": 1, "column_start": 1 }] }] });
        let text = plain_text(&Diagnostic::from_json(&json, &places()).render());
        let expected = "error[E0061]: this function takes 1 argument but 2 arguments were supplied\n --> cell 3, line 2, column 12\n  |\n2 | let y = 2; h(1, é)\n  |            ^\n  |                 ^ unexpected argument #2\nnote: function defined here\n --> cell 2, line 1, column 4\n  |\n1 | fn h(x: i32) -> i32 { x }\n  |    ^\n  = help: remove the extra argument\n    line 2: let y = 2; h(1)";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_macro_is_followed_to_its_call_and_a_closure_to_its_cell() {
        let inner = json!({ "file_name": "/rustc/x/macros.rs", "line_start": 9, "line_end": 9, "column_start": 9, "column_end": 12, "is_primary": true, "label": "here", "expansion": { "span": span(6, 12..19, "") } });
        let json = json!({ "level": "error", "code": null, "message": "no `{closure@src/lib.rs:6:12: 6:15}` in src/lib.rs:99:1, so", "spans": [inner], "children": [] });
        let found = Diagnostic::from_json(&json, &places());
        assert_eq!(found.message, "no `{closure@cell 3, line 2}` in a cell, so");
        assert_eq!((found.labels[0].line, found.labels[0].columns.clone(), found.labels[0].text.as_str()), (2, 12..19, "here"));
    }

    #[test]
    fn alternatives_are_lines_of_their_own() {
        let fix = |line: usize, columns: std::ops::Range<usize>, text: &str| {
            let mut span = span(line, columns, "");
            span["suggested_replacement"] = text.into();
            span
        };
        let lines = |spans: Value| {
            let child = json!({ "level": "help", "message": "try", "spans": spans });
            note(&child, &places()).unwrap().text
        };
        assert_eq!(lines(json!([fix(2, 1..1, "use a::B;\n"), fix(2, 1..1, "use c::B;\n")])), "try\nuse a::B;\nuse c::B;");
        assert_eq!(lines(json!([fix(6, 12..13, "g"), fix(6, 12..13, "k")])), "try\nline 2: let y = 2; g(1, é)\nline 2: let y = 2; k(1, é)");
        assert_eq!(lines(json!([fix(6, 12..12, "("), fix(6, 19..19, ")")])), "try\nline 2: let y = 2; (h(1, é))");
    }
}
