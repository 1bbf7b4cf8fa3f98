//! Text and pictures → the notebook: a live display under our kernel, plain text everywhere else.
//!
//! Under our kernel (`FINETUNING_KERNEL` is set) a record is one line on stdout, `\x02K`, the secret of the session from the file
//! that `FINETUNING_MARKS` names, and JSON with one of the fields `display`, `update` and `clear`; the kernel turns it into
//! the Jupyter message of that name. What is only printed, a row or a model's answer, does not know the secret.

use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

pub use crate::util::host::in_our_kernel;

/// What a cell can show: always a text, and richer forms for a notebook.
pub trait Show {
    /// The plain text form.
    fn text(&self) -> String;

    /// Richer forms, each with its MIME type; the notebook draws the best that it knows.
    fn rich(&self) -> Vec<(&'static str, Value)> {
        Vec::new()
    }
}

/// Shows a value in the cell's output: HTML, SVG or a chart in a notebook that can draw it, text otherwise.
pub fn show(value: &impl Show) {
    if in_our_kernel() {
        send(&json!({ "display": { "data": bundle(value) } }));
    } else {
        println!("{}", value.text());
    }
}

/// Lets a value that ends a cell be drawn as [`show`] draws it: evcxr calls `evcxr_display` where a type has it, and so does
/// a program that `cargo lab export` wrote.
macro_rules! last_expression {
    ($($kind:ty),+) => {$(
        impl $kind {
            /// Shows the value; called when it is the last expression of a cell.
            pub fn evcxr_display(&self) {
                $crate::display::output::show(self);
            }
        }
    )+};
}
pub(crate) use last_expression;

/// Removes what the cell has shown so far: at once, or, with `wait`, when the next output comes, so that nothing flickers.
/// Outside our kernel nothing happens.
pub fn clear_output(wait: bool) {
    if in_our_kernel() {
        send(&json!({ "clear": { "wait": wait } }));
    }
}

/// All forms of a value by MIME type.
fn bundle(value: &impl Show) -> Value {
    let text = ("text/plain".to_string(), Value::String(value.text()));
    let rich = value.rich().into_iter().map(|(mime, form)| (mime.to_string(), form));
    Value::Object(rich.chain([text]).collect())
}

/// The secret by which the kernel knows a record.
fn secret() -> &'static str {
    static SECRET: OnceLock<String> = OnceLock::new();
    SECRET.get_or_init(|| {
        let secrets = std::env::var_os("FINETUNING_MARKS").and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
        secrets.split(' ').next().unwrap_or_default().to_string()
    })
}

/// Writes a record for the kernel.
pub(crate) fn send(record: &Value) {
    // A closed pipe means that nobody is left to look; the computation itself goes on.
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(format!("\x02K{}{record}\n", secret()).as_bytes()).and_then(|()| out.flush());
}

/// A picture that changes in place while a cell runs; without our kernel it stays silent, so print lines beside it.
#[derive(Debug)]
pub struct LiveDisplay {
    id: String,
    started: bool,
}

impl LiveDisplay {
    /// A display that appears with its first update.
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = format!("finetuning-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self { id, started: false }
    }

    /// Draws the new state.
    pub fn update(&mut self, value: &impl Show) {
        if !in_our_kernel() {
            return;
        }
        let verb = if std::mem::replace(&mut self.started, true) { "update" } else { "display" };
        send(&json!({ verb: { "id": self.id, "data": bundle(value) } }));
    }
}

impl Default for LiveDisplay {
    fn default() -> Self {
        Self::new()
    }
}

/// An HTML fragment with its text twin.
#[derive(Debug, Clone)]
pub struct Html {
    /// The markup, with all foreign text escaped.
    pub html: String,
    /// The same facts as text.
    pub text: String,
}

impl Show for Html {
    fn text(&self) -> String {
        self.text.clone()
    }

    fn rich(&self) -> Vec<(&'static str, Value)> {
        vec![("text/html", Value::String(self.html.clone()))]
    }
}

/// An SVG picture with its text twin.
#[derive(Debug, Clone)]
pub struct Picture {
    /// The SVG document.
    pub svg: String,
    /// The same facts as text.
    pub text: String,
}

impl Show for Picture {
    fn text(&self) -> String {
        self.text.clone()
    }

    fn rich(&self) -> Vec<(&'static str, Value)> {
        let image = format!("<img src=\"data:image/svg+xml,{}\" alt=\"{}\">", encoded(&self.svg), escape(&self.text));
        vec![("text/html", image.into()), ("image/svg+xml", self.svg.clone().into())]
    }
}

last_expression!(Html, Picture);

/// A document as a part of an address.
fn encoded(text: &str) -> String {
    ['%', '#', '<', '>', '"', '&', '\'', '\n', '?']
        .iter()
        .fold(text.to_string(), |text, &sign| text.replace(sign, &format!("%{:02X}", sign as u32)))
}

/// Text made safe inside HTML and SVG.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// An HTML table and its text twin from a header and rows of text.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> Html {
    let cell = |tag: &str, text: &str| {
        let scope = if tag == "th" { " scope=\"col\"" } else { "" };
        format!("<{tag}{scope} style=\"text-align:left;vertical-align:top;white-space:pre-wrap;max-width:32em\">{}</{tag}>", escape(text))
    };
    let head: String = header.iter().map(|name| cell("th", name)).collect();
    let body: String = rows.iter().map(|row| format!("<tr>{}</tr>", row.iter().map(|text| cell("td", text)).collect::<String>())).collect();
    Html { html: format!("<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"), text: text_table(header, rows) }
}

/// Rows of a table that are shown.
const SHOWN: usize = 20;

/// The first rows of a large table, each from its index, and how large it is.
pub(crate) fn preview(names: &[String], height: usize, row: impl Fn(usize) -> Vec<String>) -> Html {
    let rows: Vec<Vec<String>> = (0..height.min(SHOWN)).map(row).collect();
    let mut shown = table(&names.iter().map(String::as_str).collect::<Vec<_>>(), &rows);
    let size = format!("{height} rows × {} columns", names.len());
    shown.html.push_str(&format!("<p>{size}</p>"));
    shown.text.push_str(&format!("\n{size}"));
    shown
}

/// The rows under each other with `name: text` lines when they are long, as columns when they fit.
fn text_table(header: &[&str], rows: &[Vec<String>]) -> String {
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).chain([header[column].chars().count()]).max().unwrap_or(0);
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let one_line = rows.iter().flatten().all(|text| !text.contains('\n'));
    if one_line && widths.iter().sum::<usize>() + 2 * widths.len() <= 120 {
        let line = |cells: Vec<&str>| {
            let padded: Vec<String> = cells.iter().zip(&widths).map(|(text, width)| format!("{text:<width$}")).collect();
            padded.join("  ").trim_end().to_string()
        };
        let mut lines = vec![line(header.to_vec())];
        lines.extend(rows.iter().map(|row| line(row.iter().map(String::as_str).collect())));
        return lines.join("\n");
    }
    let block = |(index, row): (usize, &Vec<String>)| {
        let fields: Vec<String> = header.iter().zip(row).map(|(name, text)| format!("  {name}: {text}")).collect();
        format!("[{index}]\n{}", fields.join("\n"))
    };
    rows.iter().enumerate().map(block).collect::<Vec<_>>().join("\n")
}
