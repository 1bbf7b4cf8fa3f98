//! A cell that asks about code instead of running it → the answer: a type, an item's source and documentation, the cell
//! formatted.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};

use evcxr::EvalOutputs;

use crate::kernel::engine::assist;
use crate::kernel::engine::repl::Engine;
use crate::kernel::lock::lock;
use crate::kernel::messages::errors::Failure;
use crate::kernel::messages::magic::{self, Magic};
use crate::kernel::messages::{about, directive};

/// The function that stands around a cell while it is formatted, and what that adds to each line.
const HEAD: &str = "async fn cell() {\n";
const INDENT: &str = "    ";

impl Engine {
    /// The answer; none when the cell is to run.
    pub fn answer(&mut self, cell: &str) -> Option<Result<EvalOutputs, Failure>> {
        match Magic::of(cell)? {
            Magic::Type(expression) => Some(self.type_of(&expression)),
            Magic::About { name, by_mark_in_front } => {
                let kind = self.shared.snapshot().variables.into_iter().find(|(variable, _)| *variable == name).map(|(_, kind)| kind);
                let is_rust = kind
                    .is_some_and(|kind| ["Result<", "Option<"].iter().any(|start| kind.split("::").any(|part| part.starts_with(start))));
                (by_mark_in_front || !is_rust).then(|| self.about(&name))
            }
            Magic::Format => Some(self.format(cell)),
            Magic::Time | Magic::Repeat => None,
        }
    }

    /// The type of an expression, which rust-analyzer infers: nothing runs, and nothing is moved.
    fn type_of(&mut self, expression: &str) -> Result<EvalOutputs, Failure> {
        let code = format!("let evcxr_type = {expression}; evcxr_type");
        let hover = catch_unwind(AssertUnwindSafe(|| self.context.hover_at(&code, code.len())));
        let plain = hover.ok().and_then(Result::ok).map(|(plain, _)| plain).unwrap_or_default();
        let found = plain.lines().find_map(|line| line.split_once("evcxr_type: ")).map(|(_, kind)| kind.trim().to_string());
        match found.filter(|kind| !kind.contains("{unknown}") && kind != "_") {
            Some(kind) => Ok(text(format!("{expression}: {kind}"), None)),
            None => {
                let help = format!("to see what the compiler says of it, run it: `let value = {expression};`");
                Err(Failure::new("TypeNeeded", &format!("the type of `{expression}` could not be found\n{help}")))
            }
        }
    }

    /// The source and the documentation of a name.
    fn about(&mut self, name: &str) -> Result<EvalOutputs, Failure> {
        let source = about::source(&lock(&self.shared.sources), name);
        match assist::about(&mut self.context, name, source) {
            Some((plain, html)) => Ok(text(plain, html)),
            None => Err(Failure::new(
                "NotFound",
                &format!("`{name}` is no item, variable or path that this notebook knows\nto list the variables: :vars"),
            )),
        }
    }

    /// Hands the front end the cell formatted by rustfmt, to put it in the place of this one.
    fn format(&mut self, cell: &str) -> Result<EvalOutputs, Failure> {
        let code: String = cell.split_inclusive('\n').skip_while(|line| line.trim().is_empty()).skip(1).collect();
        let head: String = code.split_inclusive('\n').take(directive::head_lines(&code)).collect();
        let body = &code[head.len()..];
        let formatted = rustfmt(&format!("{HEAD}{body}\n}}\n"))?;
        let formatted = formatted.strip_prefix(HEAD).and_then(|text| text.trim_end().strip_suffix('}')).unwrap_or(&formatted);
        // What begins inside of a text is as it was.
        let lines: Vec<&str> = formatted.lines().collect();
        let inside = notebooks::scan::starts_inside(&lines);
        let plain = lines.iter().zip(inside).map(|(line, inside)| if inside { line } else { line.strip_prefix(INDENT).unwrap_or(line) });
        self.next_input = Some(format!("{head}{}", plain.collect::<Vec<_>>().join("\n").trim_end()));
        Ok(EvalOutputs::new())
    }
}

/// Adds what the kernel knows beside evcxr to the answer of `:help`.
pub fn add_help(outputs: &mut EvalOutputs) {
    if let Some(plain) = outputs.content_by_mime_type.get_mut("text/plain") {
        let lines: String = magic::HELP.iter().map(|(word, what)| format!("{word:<17} {what}\n")).collect();
        *plain = format!("{lines}{plain}");
    }
    if let Some(html) = outputs.content_by_mime_type.get_mut("text/html") {
        let rows: String = magic::HELP.iter().map(|(word, what)| format!("<tr><td>{word}</td><td>{what}</td></tr>\n")).collect();
        *html = html.replacen("<table>\n", &format!("<table>\n{rows}"), 1);
    }
}

fn text(plain: String, html: Option<String>) -> EvalOutputs {
    let mut outputs = EvalOutputs::new();
    outputs.content_by_mime_type.insert("text/plain".into(), plain);
    if let Some(html) = html {
        outputs.content_by_mime_type.insert("text/html".into(), html);
    }
    outputs
}

fn rustfmt(code: &str) -> Result<String, Failure> {
    let failed = |why: &str| Failure::new("FormatError", &format!("{why}\nto have it: !rustup component add rustfmt"));
    let mut rustfmt = Command::new("rustfmt");
    // The function around it takes four columns.
    rustfmt.args(["--edition", "2024", "--emit", "stdout", "--config", "max_width=104"]);
    let mut child = rustfmt
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(&format!("rustfmt does not start: {error}")))?;
    if let Some(mut input) = child.stdin.take() {
        let _ = input.write_all(code.as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| failed(&format!("rustfmt was lost: {error}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let reason = said.lines().find_map(|line| line.strip_prefix("error: ")).unwrap_or("rustfmt could not read the cell");
    if said.contains("not installed") {
        Err(failed(reason))
    } else {
        Err(Failure::new("FormatError", &format!("{reason}\nthe cell is as it was")))
    }
}
