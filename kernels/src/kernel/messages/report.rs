//! What evcxr says of a cell that it could not build → the failure that the user sees.

use evcxr::{CompilationError, Error};
use notebooks::scan::{self, Kind};
use serde_json::Value;

use crate::kernel::messages::dependency;
use crate::kernel::messages::diagnostic::{Diagnostic, Note};
use crate::kernel::messages::display;
use crate::kernel::messages::errors::{Failure, Label, remark};
use crate::kernel::messages::lost::Lost;
use crate::kernel::messages::places::Places;

const UNKNOWN: &str = "Couldn't automatically determine type of variable `";

/// How evcxr goes on after the name of a variable that it cannot keep.
const BORROWS: &str = "` contains a reference with a non-static lifetime so\ncan't be persisted. You can prevent this error by making sure that the\nvariable goes out of scope - i.e. wrapping the code in {}.";

/// An error of evcxr; `places` are those of the source that it compiled last, `lost` knows what became of earlier variables,
/// and `messages` are what rustc said of the last library, of which evcxr drops what is about its own lines.
pub fn from_evcxr(error: &Error, places: &Places, lost: &Lost, messages: &str) -> Failure {
    if is_about_space(error) {
        let text = "the folder for temporary files, where cells are compiled, is full; all variables are kept\n\
                    free some space and run the cell again, or use another folder: TMPDIR=/folder jupyter lab";
        return Failure::new("DiskFull", text);
    }
    match error {
        Error::CompilationErrors(errors) => {
            let failed: Vec<&CompilationError> = errors.iter().filter(|error| error.level() == "error").collect();
            if let [error] = failed.as_slice()
                && let Some(failure) = without_display(error, places)
            {
                return failure;
            }
            if let Some(failure) = failed.iter().find_map(|error| of_dependency(error, places)) {
                return failure;
            }
            let found: Vec<Diagnostic> = failed.iter().map(|error| diagnostic(error, places, lost)).collect();
            let mut placed: Vec<Diagnostic> = found.iter().filter(|found| found.place().is_some()).cloned().collect();
            // What keeping the cell's variables adds would hide the reason.
            let nearest = placed.iter().map(|found| found.distance).min();
            placed.retain(|found| Some(found.distance) == nearest);
            let placed = sorted(placed, places);
            match (placed.is_empty(), unnamed(errors)) {
                (false, _) => failure(&placed),
                // Only code that evcxr wrote is at fault: it asks for a type that it could not find.
                (true, Some(name)) => type_needed(&name, places),
                (true, None) if let Some(failure) = unwritable(messages, places) => failure,
                (true, None) if found.is_empty() => Failure::new("CompileError", "the cell could not be compiled, for an unknown reason"),
                (true, None) => failure(&found),
            }
        }
        Error::TypeRedefinedVariablesLost(names) => {
            Failure::new("TypeRedefined", &format!("the type of {} was defined anew, so the variable is lost", names.join(", ")))
        }
        Error::SubprocessTerminated(text) => Failure::new("Killed", text.trim()),
        Error::Message(text) => match text.strip_prefix(UNKNOWN) {
            Some(rest) => type_needed(rest.split('`').next().unwrap_or_default(), places),
            None => Failure::new("Error", text.trim()),
        },
    }
}

/// Whether compiler or linker had no room for what they write.
fn is_about_space(error: &Error) -> bool {
    let full = |text: &str| text.contains("No space left on device");
    match error {
        Error::Message(text) => full(text),
        Error::CompilationErrors(errors) => errors.iter().any(|error| error.code().is_none() && full(&error.json.to_string())),
        _ => false,
    }
}

/// Whether evcxr complains that it cannot keep a variable.
pub fn is_about_a_variable(message: &str) -> bool {
    message.starts_with(UNKNOWN) || message.starts_with("The variable `")
}

fn failure(found: &[Diagnostic]) -> Failure {
    let name = found.iter().find_map(|diagnostic| diagnostic.code.clone()).unwrap_or_else(|| "CompileError".into());
    let value = found.first().map(|diagnostic| diagnostic.message.clone()).unwrap_or_default();
    Failure { name, value, traceback: found.iter().flat_map(Diagnostic::render).collect() }
}

/// Those of the running cell first, in the order of its lines, each once.
fn sorted(mut found: Vec<Diagnostic>, places: &Places) -> Vec<Diagnostic> {
    let running = places.last_number();
    let key = |diagnostic: &Diagnostic| {
        diagnostic.place().map(|label| (label.cell != running, label.cell, label.line, label.columns.start, label.columns.end))
    };
    found.sort_by_key(key);
    found.dedup();
    for diagnostic in &mut found {
        let elsewhere = diagnostic.place().map(|label| label.cell).filter(|cell| *cell != running);
        if let Some(cell) = elsewhere {
            let text = format!(
                "the code of cell {cell} does not fit this cell any more\nto change both at once, write its new version into this cell"
            );
            diagnostic.notes.push(Note { kind: "help".into(), text, labels: Vec::new() });
        }
    }
    found
}

fn diagnostic(error: &CompilationError, places: &Places, lost: &Lost) -> Diagnostic {
    let mut found = Diagnostic::from_json(&error.json, places);
    if error.json.is_null() {
        // evcxr's own, about a line of the running cell.
        found.level = "error".into();
        found.message = error.message();
        if let Some(name) = found.message.strip_prefix("The variable `").and_then(|rest| rest.strip_suffix(BORROWS)) {
            let text = "write the part that uses it in braces, or keep a value that owns what it has: `.clone()`, `.to_string()`";
            found.notes.push(Note { kind: "help".into(), text: text.into(), labels: Vec::new() });
            found.message = format!("`{name}` borrows from this cell, so it cannot be kept for later cells");
        }
        found.labels = error
            .spanned_messages()
            .iter()
            .filter_map(|message| message.span)
            .filter_map(|span| {
                let end = if span.end_line == span.start_line { span.end_column } else { span.start_column + 1 };
                label(span.start_line, span.start_column..end, places)
            })
            .collect();
    }
    let help = |text: &str| Note { kind: "help".into(), text: text.into(), labels: Vec::new() };
    if let Some(story) = lost.story(&found.message) {
        // What the compiler guesses, another name, would lead astray.
        found.notes = vec![help(story)];
    }
    for note in &mut found.notes {
        if let Some(name) = missing_crate(&note.text) {
            *note = help(&format!("a crate is added by a line at the head of a cell: `:dep {name} = \"*\"`"));
        }
    }
    let code = found.code.as_deref().unwrap_or_default();
    if matches!(code, "E0384" | "E0596") {
        found.notes.push(help("a variable of an earlier cell becomes mutable by `let mut x = x;`"));
    }
    found.notes.extend(error.evcxr_extra_hint().map(help));
    if matches!(code, "E0460" | "E0463" | "E0514") && found.message.contains("finetuning") {
        found.notes.push(help("the companion crate was built anew since this kernel started; restart the kernel"));
    }
    if found.message.contains("borrowed data escapes outside") {
        found.notes.push(help("give the variable an explicit type: `let x: Type = …;`"));
    }
    found
}

/// What evcxr says of a `:dep` line.
fn of_dependency(error: &CompilationError, places: &Places) -> Option<Failure> {
    let span = error.spanned_messages().iter().find_map(|message| message.span).filter(|_| error.json.is_null())?;
    let line = places.running_text()?.lines().nth(span.start_line - 1)?;
    let start = line.chars().count() - line.trim_start().chars().count() + 1;
    let label = label(span.start_line, start..line.trim_end().chars().count() + 1, places);
    line.trim_start().starts_with(":dep").then(|| dependency::failure(line, &error.message(), label.as_ref()))
}

/// A place in the running cell.
fn label(line: usize, columns: std::ops::Range<usize>, places: &Places) -> Option<Label> {
    let place = places.of_running(line, columns.start)?;
    Some(places.label(place, columns))
}

/// The crate that a note of the compiler would add to a manifest.
fn missing_crate(note: &str) -> Option<&str> {
    let rest = note.split_once("crate named `")?.1;
    (note.contains("cargo add") || note.contains("missing a crate")).then(|| rest.split('`').next().unwrap_or_default())
}

/// A variable whose type evcxr writes in words that the cell does not know.
fn unwritable(messages: &str, places: &Places) -> Option<Failure> {
    let errors: Vec<Value> =
        messages.lines().filter_map(|line| serde_json::from_str(line).ok()).filter(|error: &Value| error["level"] == "error").collect();
    let (name, error) = errors.iter().find_map(|error| Some((variable(error)?, error)))?;
    let mut failure = type_needed(&name, places);
    let text = format!("{}; its type cannot be written here", error["message"].as_str().unwrap_or_default());
    failure.traceback.extend(remark("note", &text));
    let fixes = error["children"].as_array().into_iter().flatten().flat_map(|child| child["spans"].as_array().into_iter().flatten());
    let import = fixes.filter_map(|span| span["suggested_replacement"].as_str()).find(|fix| fix.trim_start().starts_with("use "));
    failure.traceback.extend(import.iter().flat_map(|import| remark("help", &format!("or bring it in: `{}`", import.trim()))));
    Some(failure)
}

/// The variable that an error about evcxr's own lines is about.
fn variable(error: &Value) -> Option<String> {
    let mut texts = error["spans"].as_array().into_iter().flatten().flat_map(|span| span["text"].as_array().into_iter().flatten());
    texts.find_map(|text| {
        let line = text["text"].as_str()?;
        let rest = line.split_once("stringify!(").or_else(|| line.split_once("evcxr_variable_store("))?.1;
        Some(rest.split(')').next()?.to_string()).filter(|name| !name.is_empty())
    })
}

/// The variable whose type is at fault in code that evcxr wrote.
fn unnamed(errors: &[CompilationError]) -> Option<String> {
    errors.iter().find_map(|error| variable(&error.json))
}

fn type_needed(name: &str, places: &Places) -> Failure {
    let text = format!("the type of `{name}` could not be found; name it: `let {name}: Type = …;`");
    let found = places.running_text().and_then(|text| {
        let token = scan::tokens(text).find(|token| token.kind == Kind::Other && token.text == name)?;
        let before = &text[..token.start];
        let column = before.chars().rev().take_while(|char| *char != '\n').count() + 1;
        label(before.matches('\n').count() + 1, column..column + name.chars().count(), places)
    });
    match found {
        Some(label) => Failure::at("TypeNeeded", &text, &label),
        None => Failure::new("TypeNeeded", &text),
    }
}

/// The last expression has no display: evcxr's name for it is none of the user's business.
fn without_display(error: &CompilationError, places: &Places) -> Option<Failure> {
    if error.code() != Some("E0599") || !error.json.to_string().contains("`evcxr_display`") {
        return None;
    }
    let message = error.message();
    let of_type = message.split('`').nth(if message.contains("`evcxr_display`") { 3 } else { 1 })?.trim_start_matches('&');
    let tail = display::tail(places.running_text()?)?;
    let of_type = if of_type.contains("closure@") { "closure" } else { of_type };
    let value = format!("`{of_type}` doesn't implement `Debug`");
    let mut place = label(tail.line, tail.columns, places)?;
    place.text = "the value of the last expression cannot be shown".into();
    let mut failure = Failure::at("E0277", &value, &place);
    failure
        .traceback
        .extend(remark("help", "end the cell with `;`, show a part of the value, or let its type have it: `#[derive(Debug)]`"));
    Some(failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_named_in_the_place_of_what_the_compiler_says_of_it() {
        let failure = |text: &str| from_evcxr(&Error::Message(text.into()), &Places::default(), &Lost::default(), "");
        let full = failure(
            "Compilation failed, but no parsable errors were found. STDERR:\n   Compiling ctx v1.0.0 (/tmp/x)\nNo space left on device (os error 28)",
        );
        assert!(full.name == "DiskFull" && full.value.ends_with("TMPDIR=/folder jupyter lab") && !full.value.contains("ctx"), "{full:?}");
        assert_eq!(failure("something else").name, "Error");
    }
}
