//! What the compiler says of a cell, beside what rustc says of the same text in a `main`: code, line and headline.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::client::{Client, plain};
use super::kernel;

/// An error: its code, its line in the cell, its headline.
type Report = (String, usize, String);

/// Cells that are wrong in all the ways that a beginner's are, a blank line between them.
const CELLS: &str = include_str!("reports.txt");

/// The errors of rustc for a text in a `main`, by their lines.
fn rustc(text: &str) -> Vec<Report> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("main.rs");
    // A semicolon makes a statement of a last expression, and is nothing behind an item.
    std::fs::write(&file, format!("fn main() {{\n{text}\n;}}\n")).unwrap();
    let mut rustc = Command::new("rustc");
    rustc.args(["--edition", "2024", "--crate-name", "example", "--emit=metadata", "--error-format=json", "-o"]);
    let output = rustc.arg(folder.path().join("example.rmeta")).arg(&file).output().unwrap();
    let messages = String::from_utf8_lossy(&output.stderr).into_owned();
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let errors = messages.filter(|message| message["level"] == "error" && !message["message"].as_str().unwrap().starts_with("aborting"));
    in_order(errors.map(|error| report(&error)).collect())
}

fn in_order(mut found: Vec<Report>) -> Vec<Report> {
    found.sort_by(|a, b| (a.1, a).cmp(&(b.1, b)));
    found.dedup();
    found
}

fn report(error: &Value) -> Report {
    let mut spans = error["spans"].as_array().unwrap().iter().filter(|span| span["is_primary"] == true);
    let mut span = spans.next().cloned().unwrap_or_default();
    while !span["file_name"].as_str().unwrap_or("main.rs").ends_with("main.rs") {
        span = span["expansion"]["span"].clone();
    }
    let line = span["line_start"].as_u64().unwrap_or(1) as usize - 1;
    // An item of a function has the function's name before its own.
    let message = without_places(error["message"].as_str().unwrap()).replace("`main::", "`");
    (error["code"]["code"].as_str().unwrap_or_default().into(), line, message)
}

/// A closure is named by its place, which is not that of the cell.
fn without_places(message: &str) -> String {
    let mut pieces = message.split("{closure@");
    let mut out = pieces.next().unwrap().to_string();
    for piece in pieces {
        out += "{closure";
        out += &piece[piece.find('}').unwrap_or(0)..];
    }
    out
}

fn line_of(place: &str) -> Option<usize> {
    place.trim().strip_prefix("--> cell ")?.split(", line ").nth(1)?.split(',').next()?.parse().ok()
}

/// The errors of the kernel for a cell, as its traceback shows them.
fn kernels(kernel: &mut Client, cell: &str) -> Vec<Report> {
    let run = kernel.run(cell);
    let text = plain(&run.reply["traceback"]);
    let lines: Vec<&str> = text.lines().collect();
    let mut found: Vec<Report> = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some((code, message)) = line.strip_prefix("error").and_then(|rest| rest.split_once(": ")) else { continue };
        let place = lines.get(index + 1).and_then(|line| line_of(line)).unwrap_or(0);
        found.push((code.trim_matches(['[', ']']).into(), place, without_places(message)));
    }
    if let (Some(first), "error") = (found.first(), run.reply["status"].as_str().unwrap()) {
        assert_eq!(run.error()["evalue"].as_str().map(without_places).unwrap().lines().next(), Some(first.2.as_str()));
    } else if run.reply["status"] == "error" {
        // What is refused before the compiler sees it.
        let (name, place) = (run.reply["ename"].as_str().unwrap(), lines.get(1).and_then(|line| line_of(line)).unwrap_or(0));
        let name = if name == "CompileError" { "" } else { name };
        found.push((name.into(), place, run.reply["evalue"].as_str().unwrap().lines().next().unwrap_or_default().into()));
    } else {
        // It was good, and what it defines is in the way of others.
        kernel.run(":clear").expect_ok();
    }
    in_order(found)
}

#[test]
fn with_and_without_a_semicolon_a_cell_is_reported_as_rustc_reports_it() {
    let (mut kernel, mut others) = (kernel(), String::new());
    for cell in CELLS.split("\n\n").map(str::trim).filter(|cell| !cell.is_empty()) {
        let expected = rustc(cell);
        assert!(!expected.is_empty(), "rustc finds nothing wrong:\n{cell}");
        let both = [cell.to_string(), format!("{cell};")];
        for cell in both.iter().take(if cell.ends_with(['}', ';']) { 1 } else { 2 }) {
            let found = kernels(&mut kernel, cell);
            if found != expected {
                others += &format!("{cell}\n  rustc:  {expected:?}\n  kernel: {found:?}\n");
            }
        }
    }
    assert!(others.is_empty(), "{others}");
}

/// The examples of rustc's error index that fail to compile, by name, where it is installed (`rustup component add rust-docs`).
fn index() -> Option<Vec<(String, String)>> {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output().ok()?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&sysroot.stdout).trim());
    let folder = std::env::var_os("FINETUNING_ERROR_INDEX").map_or(sysroot.join("share/doc/rust/html/error_codes"), PathBuf::from);
    let mut pages: Vec<PathBuf> = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
    pages.retain(|page| page.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("E0")));
    pages.sort();
    let mut examples = Vec::new();
    for page in pages {
        let text = std::fs::read_to_string(&page).ok()?;
        for (number, block) in text.split("<code class=\"language-rust ").skip(1).enumerate() {
            let Some((_, rest)) = block.split_once("\">").filter(|(class, _)| class.contains("compile_fail")) else { continue };
            let code = rest.split("</code>").next()?;
            examples.push((format!("{}.{number}", page.file_stem()?.to_str()?), html_text(code)));
        }
    }
    Some(examples)
}

/// The text of a block of code, without the lines that the page hides.
fn html_text(html: &str) -> String {
    let mut out = String::new();
    for (number, piece) in html.split("<span class=\"boring\">").enumerate() {
        out += if number == 0 { piece } else { piece.split_once("</span>").map_or("", |(_, rest)| rest) };
    }
    while let Some((start, length)) = out.find('<').and_then(|start| Some((start, out[start..].find('>')? + 1))) {
        out.replace_range(start..start + length, "");
    }
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&#x27;", "'"), ("&amp;", "&")]
        .iter()
        .fold(out, |text, (entity, char)| text.replace(entity, char))
        .trim_matches('\n')
        .to_string()
}

/// The examples of the index that are reported otherwise, and why.
const OTHERWISE: [(&str, &str); 5] = [
    (
        "E0091.0 E0136.0 E0252.0 E0255.0 E0256.0 E0428.0 E0517.0 E0634.0 E0693.0 E0761.0",
        "of two items of one name the last is taken, in a cell as between cells",
    ),
    ("E0583.0 E0659.0 E0750.0 E0754.0", "items of a cell stand at the root of a crate, not in a function"),
    ("E0222.0 E0391.0", "evcxr keeps items without their order, which the headline follows"),
    ("E0365.0", "evcxr takes a `pub use` for its names alone"),
    ("E0597.0 E0753.0", "evcxr puts its own words, or its own lines, in place of the compiler's"),
];

/// Every n-th example, by `FINETUNING_EVERY` (1: all of them).
#[test]
fn the_examples_of_the_error_index_are_reported_as_rustc_reports_them() {
    let Some(examples) = index() else {
        println!("skipped: the error index is not installed (rustup component add rust-docs)");
        return;
    };
    let every = std::env::var("FINETUNING_EVERY").ok().and_then(|every| every.parse().ok()).unwrap_or(25_usize);
    let mut kernel = kernel();
    // Attributes of a crate are no cell's, and most need another compiler; `extern crate` of a cell brings a dependency.
    let fits = |(_, code): &&(String, String)| !code.contains("#![") && !code.contains("extern crate") && !rustc(code).is_empty();
    let examples: Vec<&(String, String)> = examples.iter().step_by(every).filter(fits).collect();
    let (mut exact, mut others) = (0, String::new());
    for (name, code) in &examples {
        let (expected, found) = (rustc(code), kernels(&mut kernel, code));
        if expected == found {
            exact += 1;
        } else if !OTHERWISE.iter().any(|(names, _)| names.split(' ').any(|known| known == name)) {
            others += &format!("{name}\n  rustc:  {expected:?}\n  kernel: {found:?}\n");
        }
    }
    println!("{others}error index: {exact} of {} examples are reported as rustc reports them", examples.len());
    assert!(others.is_empty(), "{others}");
    assert!(every > 1 || exact * 100 >= examples.len() * 95, "{exact} of {}", examples.len());
}
