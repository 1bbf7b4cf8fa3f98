//! What stopped a cell → `ename`, `evalue` and a traceback in terms of the cell's own lines.

use evcxr::{CompilationError, Error};
use serde_json::{Value, json};

use crate::kernel::messages::lost::Lost;
use crate::kernel::messages::rules::rule;
use crate::kernel::messages::width;

/// The three fields of an error message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub name: String,
    pub value: String,
    pub traceback: Vec<String>,
}

const RED: &str = "\x1b[1;31m";
const BLUE: &str = "\x1b[1;34m";
const BOLD: &str = "\x1b[1m";
const OFF: &str = "\x1b[0m";

impl Failure {
    /// A failure whose traceback is its name and text.
    pub fn new(name: &str, value: &str) -> Failure {
        let (first, rest) = value.split_once('\n').unwrap_or((value, ""));
        let mut traceback = vec![format!("{RED}{name}{OFF}{BOLD}: {first}{OFF}")];
        traceback.extend(rest.lines().map(str::to_string));
        Failure { name: name.into(), value: value.into(), traceback }
    }

    /// The content of an `error` message.
    pub fn content(&self) -> Value {
        json!({ "ename": self.name, "evalue": self.value, "traceback": self.traceback })
    }
}

/// A compiler message in terms of the cell.
struct Diagnostic {
    code: Option<String>,
    message: String,
    spans: Vec<Label>,
    notes: Vec<String>,
}

impl Diagnostic {
    fn rule(&self) -> Option<&'static str> {
        self.code.as_deref().and_then(rule)
    }
}

/// A marked piece of the cell; lines and columns count from 1, the end column is exclusive.
struct Label {
    line: usize,
    columns: std::ops::Range<usize>,
    text: String,
    primary: bool,
}

/// An error of evcxr for the cell `number` with the text `cell`; `lost` knows what became of earlier variables.
pub fn from_evcxr(error: &Error, number: usize, cell: &str, lost: &Lost) -> Failure {
    match error {
        // Only code that evcxr wrote is at fault: it asks for a type that it could not find.
        Error::CompilationErrors(errors) if !errors.is_empty() && !errors.iter().any(CompilationError::is_from_user_code) => {
            Failure::new("TypeNeeded", "the type of a new variable of this cell could not be found; name it: `let x: Type = …;`")
        }
        Error::CompilationErrors(errors) => {
            let mut found: Vec<Diagnostic> =
                errors.iter().filter(|error| error.level() == "error").map(|error| diagnostic(error, cell, lost)).collect();
            if found.is_empty() {
                found = errors.iter().map(|error| diagnostic(error, cell, lost)).collect();
            }
            compile_failure(&found, number, cell)
        }
        Error::TypeRedefinedVariablesLost(names) => {
            Failure::new("TypeRedefined", &format!("the type of {} was defined anew, so the variable is lost", names.join(", ")))
        }
        Error::SubprocessTerminated(text) => Failure::new("Killed", text.trim()),
        Error::Message(text) => Failure::new("Error", text.trim()),
    }
}

fn diagnostic(error: &CompilationError, cell: &str, lost: &Lost) -> Diagnostic {
    let spans = error.spanned_messages().iter().filter_map(|message| {
        let span = message.span?;
        // A mark over several lines goes to the end of its first one.
        let end = if span.start_line == span.end_line { span.end_column } else { span.start_column + 1 };
        Some(Label { line: span.start_line, columns: span.start_column..end, text: message.label.clone(), primary: message.is_primary })
    });
    let mut spans: Vec<Label> = spans.collect();
    if spans.is_empty() {
        // evcxr gives no place in the cell's last expression, which it rewrites.
        spans.extend(error.json["spans"].as_array().into_iter().flatten().filter_map(|span| found_again(span, cell)));
    }
    let mut notes = error.help();
    if let Some(story) = lost.story(&error.message()) {
        // What the compiler guesses, another name, would lead astray.
        notes = vec![story.to_string()];
    }
    if matches!(error.code(), Some("E0384" | "E0596")) {
        notes.push("a variable of an earlier cell becomes mutable by `let mut x = x;`".into());
    }
    notes.extend(error.evcxr_extra_hint().map(str::to_string));
    if matches!(error.code(), Some("E0460" | "E0463" | "E0514")) && error.message().contains("finetuning") {
        notes.push("the companion crate was built anew since this kernel started; restart the kernel".into());
    }
    if error.message().contains("borrowed data escapes outside") {
        notes.push("give the variable an explicit type: `let x: Type = …;`".into());
    }
    Diagnostic { code: error.code().map(str::to_string), message: error.message(), spans, notes }
}

/// The place in the cell of the text that rustc marks: of the first line of it that the cell has, once.
fn found_again(span: &Value, cell: &str) -> Option<Label> {
    let marked = span["text"].as_array()?.iter().filter_map(|text| {
        let column = |name: &str| text[name].as_u64()?.checked_sub(1);
        let (start, end) = (column("highlight_start")?, column("highlight_end")?);
        let marked = text["text"].as_str()?.chars().skip(start as usize).take(end.checked_sub(start)? as usize);
        Some(marked.collect::<String>().trim().to_string()).filter(|marked| !marked.is_empty())
    });
    let (place, marked) = marked.into_iter().find_map(|marked| {
        let mut places = cell.match_indices(&marked);
        let (place, _) = places.next().filter(|_| places.next().is_none())?;
        Some((place, marked.clone()))
    })?;
    let line_start = cell[..place].rfind('\n').map_or(0, |newline| newline + 1);
    let first = cell[line_start..place].chars().count() + 1;
    Some(Label {
        line: cell[..place].matches('\n').count() + 1,
        columns: first..first + marked.chars().count(),
        text: span["label"].as_str().unwrap_or_default().to_string(),
        primary: span["is_primary"].as_bool().unwrap_or(false),
    })
}

fn compile_failure(found: &[Diagnostic], number: usize, cell: &str) -> Failure {
    let name = found.iter().find_map(|diagnostic| diagnostic.code.clone()).unwrap_or_else(|| "CompileError".into());
    let value = found.first().map(|diagnostic| diagnostic.message.clone()).unwrap_or_default();
    let lines: Vec<&str> = cell.lines().collect();
    let traceback = found.iter().flat_map(|diagnostic| render(diagnostic, number, &lines)).collect();
    Failure { name, value, traceback }
}

/// The message, then each marked line of the cell with its labels under it, then the notes.
fn render(diagnostic: &Diagnostic, number: usize, cell: &[&str]) -> Vec<String> {
    let code = diagnostic.code.as_ref().map(|code| format!("[{code}]")).unwrap_or_default();
    let mut out = vec![format!("{RED}error{code}{OFF}{BOLD}: {}{OFF}", diagnostic.message)];
    let mut spans: Vec<&Label> = diagnostic.spans.iter().filter(|span| (1..=cell.len()).contains(&span.line)).collect();
    spans.sort_by_key(|span| (span.line, !span.primary, span.columns.start));
    let width = spans.iter().map(|span| span.line.to_string().len()).max().unwrap_or(1);
    let gutter = format!("{BLUE}{:width$} |{OFF}", "");
    if let Some(place) = spans.iter().find(|span| span.primary).or(spans.first()) {
        out.push(format!("{BLUE}{:width$}-->{OFF} cell {number}, line {}, column {}", "", place.line, place.columns.start));
        out.push(gutter.clone());
    }
    let mut last = 0;
    for span in spans {
        let line = cell[span.line - 1];
        if span.line != last {
            out.push(format!("{BLUE}{:>width$} |{OFF} {line}", span.line));
            last = span.line;
        }
        let (mark, colour) = if span.primary { ("^", RED) } else { ("-", BLUE) };
        let before = width::blank(line.chars().take(span.columns.start - 1));
        let marked = line.chars().skip(span.columns.start - 1).take(span.columns.len().max(1));
        let marks = mark.repeat(marked.map(width::columns).sum::<usize>().max(1));
        let text = span.text.lines().next().unwrap_or_default();
        out.push(format!("{gutter} {before}{colour}{}{OFF}", format!("{marks} {text}").trim_end()));
    }
    if let Some(rule) = diagnostic.rule() {
        out.push(format!("{BLUE}{:width$} ={OFF} {BOLD}rule{OFF}: {rule}", ""));
    }
    for note in &diagnostic.notes {
        let mut lines = note.lines().filter(|line| !line.trim().is_empty());
        out.push(format!("{BLUE}{:width$} ={OFF} {BOLD}help{OFF}: {}", "", lines.next().unwrap_or_default()));
        out.extend(lines.map(|line| format!("{:width$}   {line}", "")));
    }
    out
}

/// A panic record of the cell process; `generated` is the source that evcxr compiled for the cell.
pub fn from_panic(panic: &Value, number: usize, cell: &str, generated: &str) -> Failure {
    let message = panic["message"].as_str().unwrap_or("panicked");
    let file = panic["file"].as_str().unwrap_or_default();
    let line = panic["line"].as_u64().unwrap_or_default() as usize;
    let mut failure = Failure::new("Panic", message);
    match cell_line(generated, line, cell).filter(|_| file == "src/lib.rs") {
        Some(line) => {
            let width = line.to_string().len();
            failure.traceback.push(format!("{BLUE}{:width$}-->{OFF} cell {number}, line {line}", ""));
            failure.traceback.push(format!("{BLUE}{line} |{OFF} {}", cell.lines().nth(line - 1).unwrap_or_default()));
        }
        None if file == "src/lib.rs" => {}
        None => failure.traceback.push(format!("{BLUE}-->{OFF} {file}:{line}")),
    }
    failure.traceback.push("the variables of earlier cells are kept; new ones of this cell are not".into());
    failure.traceback.extend(panic["backtrace"].as_str().unwrap_or_default().lines().map(str::to_string));
    failure
}

/// The panic as the standard library prints it, for panics that did not stop the cell.
pub fn panic_text(panic: &Value) -> String {
    let text = |field: &str| panic[field].as_str().unwrap_or_default().to_string();
    format!("thread '{}' panicked at {}:{}:\n{}\n", text("thread"), text("file"), panic["line"], text("message"))
}

/// The line of the cell (from 1) that became line `line` of the generated source.
fn cell_line(generated: &str, line: usize, cell: &str) -> Option<usize> {
    let text = generated.lines().nth(line.checked_sub(1)?)?.trim();
    let lines = || cell.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty() && !text.is_empty());
    // evcxr gives each statement its own line and puts its own code around the last expression.
    let same = lines().find(|(_, line)| *line == text);
    let around = || lines().find(|(_, line)| line.contains(text));
    let inside = || lines().find(|(_, line)| line.len() > 3 && text.contains(line.trim_end_matches(';')));
    same.or_else(around).or_else(inside).map(|(index, _)| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(lines: &[String]) -> String {
        let mut text = lines.join("\n");
        for code in [RED, BLUE, BOLD, OFF] {
            text = text.replace(code, "");
        }
        text
    }

    #[test]
    fn a_type_error_shows_the_line_of_the_cell() {
        let label = |columns: std::ops::Range<usize>, text: &str, primary| Label { line: 2, columns, text: text.into(), primary };
        let diagnostic = Diagnostic {
            code: Some("E0308".into()),
            message: "mismatched types".into(),
            spans: vec![label(8..11, "expected due to this", false), label(14..17, "expected `i32`, found `&str`", true)],
            notes: vec!["convert it\n\n.parse()".into()],
        };
        let failure = compile_failure(&[diagnostic], 3, "// é\nlet é: i32 = \"é\";");
        assert_eq!((failure.name.as_str(), failure.value.as_str()), ("E0308", "mismatched types"));
        let expected = "error[E0308]: mismatched types\n --> cell 3, line 2, column 14\n  |\n2 | let é: i32 = \"é\";\n  |              ^^^ expected `i32`, found `&str`\n  |        --- expected due to this\n  = rule: Rust converts no types on its own: both sides must have the same one\n  = help: convert it\n    .parse()";
        assert_eq!(plain(&failure.traceback), expected);
    }

    #[test]
    fn wide_characters_and_tabs_keep_the_marks_in_place() {
        let diagnostic = Diagnostic {
            code: None,
            message: "m".into(),
            spans: vec![Label { line: 1, columns: 4..6, text: String::new(), primary: true }],
            notes: vec![],
        };
        let text = plain(&compile_failure(&[diagnostic], 1, "\t漢 漢x").traceback);
        assert!(text.ends_with("1 | \t漢 漢x\n  | \t   ^^^"), "{text:?}");
    }

    #[test]
    fn a_marked_text_is_found_again_if_it_is_there_once() {
        let span = json!({ "text": [{ "text": "(!vec![1]).evcxr_display();", "highlight_start": 2, "highlight_end": 10 }], "is_primary": true, "label": "cannot" });
        let label = found_again(&span, "let é = 1;\né; !vec![1]").unwrap();
        assert_eq!((label.line, label.columns, label.text.as_str()), (2, 4..12, "cannot"));
        assert!(found_again(&span, "!vec![1]; !vec![1]").is_none());
        let lines = json!([{ "text": "f(&(", "highlight_start": 4, "highlight_end": 5 }, { "text": "!vec![1]", "highlight_start": 1, "highlight_end": 9 }]);
        let label = found_again(&json!({ "text": lines }), "!vec![1]").unwrap();
        assert_eq!((label.line, label.columns), (1, 1..9));
    }

    #[test]
    fn a_panic_points_into_the_cell() {
        let panic = json!({ "message": "boom\nmore", "file": "src/lib.rs", "line": 3, "thread": "main", "backtrace": "" });
        let failure = from_panic(&panic, 7, "let a = 1;\npanic!(\"boom\")", "fn x() {\nlet a = 1;\nf(&(panic!(\"boom\")));\n}");
        let text = plain(&failure.traceback);
        assert!(text.starts_with("Panic: boom\nmore\n --> cell 7, line 2\n2 | panic!(\"boom\")"), "{text}");
        assert_eq!(failure.value, "boom\nmore");
    }
}
