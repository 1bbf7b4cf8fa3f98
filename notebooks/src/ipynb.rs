//! Cells ↔ nbformat 4.5: the file that Jupyter opens, written the way that Jupyter writes it.
//!
//! Format: <https://nbformat.readthedocs.io/en/latest/format_description.html>. Keys are sorted and the indentation is one
//! space, so that saving in JupyterLab changes nothing but outputs.

use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::cells::{Kind, Lesson};

/// The name by which Jupyter finds our kernel.
pub const KERNEL_NAME: &str = "rust-finetuning";
/// The name that Jupyter shows.
pub const KERNEL_DISPLAY_NAME: &str = "Rust (finetuning)";
/// The first line of every notebook's first code cell.
pub const DEPENDENCY: &str = ":dep finetuning = { path = \"../lib\" }";

/// The most bytes of a notebook: one full of pictures has some 50 MB.
const LARGEST: u64 = 256 << 20;

/// A cell of a notebook.
#[derive(Debug, Clone, PartialEq)]
pub struct NotebookCell {
    pub kind: Kind,
    pub id: String,
    pub source: String,
    pub metadata: Map<String, Value>,
    /// The place of the cell in the order of execution; `None` for text and for code that has not run.
    pub execution_count: Option<u64>,
    /// Outputs as in the file, but with each text in one piece.
    pub outputs: Vec<Value>,
}

/// A notebook.
#[derive(Debug, Clone, PartialEq)]
pub struct Notebook {
    pub cells: Vec<NotebookCell>,
    pub metadata: Map<String, Value>,
}

impl Notebook {
    /// The notebook of a lesson, without outputs.
    pub fn from_lesson(lesson: &Lesson) -> Notebook {
        let first_code = lesson.cells.iter().position(|cell| cell.kind == Kind::Code);
        let cells = lesson.cells.iter().enumerate().map(|(place, cell)| NotebookCell {
            kind: cell.kind,
            id: lesson.cell_id(place),
            source: if first_code == Some(place) { format!("{DEPENDENCY}\n{}", cell.source) } else { cell.source.clone() },
            metadata: Map::new(),
            execution_count: None,
            outputs: Vec::new(),
        });
        Notebook { cells: cells.collect(), metadata: metadata() }
    }

    /// Takes the outputs of the cells of `old` that are still here: the same code, in the same order.
    pub fn keep_outputs(&mut self, old: &Notebook) {
        let mut rest = old.cells.as_slice();
        for cell in self.cells.iter_mut().filter(|cell| cell.kind == Kind::Code) {
            if let Some(place) = rest.iter().position(|before| before.kind == Kind::Code && before.source == cell.source) {
                cell.execution_count = rest[place].execution_count;
                cell.outputs.clone_from(&rest[place].outputs);
                rest = &rest[place + 1..];
            }
        }
    }

    /// Whether both have the same cells, whatever their outputs.
    pub fn same_cells(&self, other: &Notebook) -> bool {
        let key = |cell: &NotebookCell| (cell.kind, cell.id.clone(), cell.source.clone());
        self.cells.iter().map(key).eq(other.cells.iter().map(key))
    }

    /// Reads an .ipynb file; a device or a pipe, and what is larger than any notebook, are refused.
    ///
    /// # Errors
    /// The file, and why it is no notebook.
    pub fn open(path: &Path) -> Result<Notebook, String> {
        let wrong = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
        let facts = std::fs::metadata(path).map_err(|error| wrong(&error))?;
        if !facts.is_file() {
            return Err(wrong(&"not a file"));
        }
        let file = std::fs::File::open(path).map_err(|error| wrong(&error))?;
        let mut text = String::new();
        file.take(LARGEST + 1).read_to_string(&mut text).map_err(|error| wrong(&error))?;
        if text.len() as u64 > LARGEST {
            return Err(wrong(&format_args!("it has more than {LARGEST} bytes, which no notebook has")));
        }
        Self::read(&text).map_err(|error| wrong(&error))
    }

    /// Reads the text of an .ipynb file.
    ///
    /// # Errors
    /// What is missing for a notebook of format 4.
    pub fn read(text: &str) -> Result<Notebook, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| format!("not a notebook: {error}"))?;
        if value["nbformat"] != 4 {
            return Err(format!("nbformat is {}, not 4", value["nbformat"]));
        }
        let cells = value["cells"].as_array().ok_or("not a notebook: it has no cells")?;
        let cells = cells.iter().enumerate().map(|(place, cell)| {
            let kind = if cell["cell_type"] == "code" { Kind::Code } else { Kind::Markdown };
            NotebookCell {
                kind,
                id: cell["id"].as_str().map_or_else(|| format!("cell-{:02}", place + 1), str::to_string),
                source: one_piece(&cell["source"]),
                metadata: cell["metadata"].as_object().cloned().unwrap_or_default(),
                execution_count: cell["execution_count"].as_u64(),
                outputs: cell["outputs"].as_array().into_iter().flatten().map(|output| map_texts(output, one_piece_value)).collect(),
            }
        });
        Ok(Notebook { cells: cells.collect(), metadata: value["metadata"].as_object().cloned().unwrap_or_default() })
    }

    /// Writes the text of an .ipynb file.
    pub fn write(&self) -> String {
        let cells: Vec<Value> = self
            .cells
            .iter()
            .map(|cell| {
                let source = in_lines(&Value::String(cell.source.clone()));
                match cell.kind {
                    Kind::Markdown => json!({"cell_type": "markdown", "id": cell.id, "metadata": cell.metadata, "source": source}),
                    Kind::Code => json!({
                        "cell_type": "code", "execution_count": cell.execution_count, "id": cell.id, "metadata": cell.metadata,
                        "outputs": cell.outputs.iter().map(|output| map_texts(output, in_lines)).collect::<Vec<_>>(), "source": source,
                    }),
                }
            })
            .collect();
        let value = json!({"cells": cells, "metadata": self.metadata, "nbformat": 4, "nbformat_minor": 5});
        let mut text = String::new();
        pretty(&value, 0, &mut text);
        text.push('\n');
        text
    }

    /// What keeps the outputs from being those of a complete run; empty when nothing does.
    pub fn missing_outputs(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for (place, cell) in self.cells.iter().enumerate().filter(|(_, cell)| cell.kind == Kind::Code) {
            if let Some(error) = cell.outputs.iter().find(|output| output["output_type"] == "error") {
                missing.push(format!("cell {} ended with an error: {}", place + 1, error["evalue"].as_str().unwrap_or_default()));
            } else if cell.execution_count.is_none() {
                missing.push(format!("cell {} has not run", place + 1));
            }
        }
        if missing.is_empty() && self.cells.iter().all(|cell| cell.outputs.is_empty()) {
            missing.push("no cell has an output".into());
        }
        missing
    }
}

/// What the kernel says of its language; equal in a notebook, so that opening one changes nothing in it.
pub fn language_info() -> Value {
    json!({
        "codemirror_mode": "rust",
        "file_extension": ".rs",
        "mimetype": "text/rust",
        "name": "rust",
        "nbconvert_exporter": "script",
        "pygments_lexer": "rust",
        "version": "2024",
    })
}

pub fn metadata() -> Map<String, Value> {
    let kernel = json!({"display_name": KERNEL_DISPLAY_NAME, "language": "rust", "name": KERNEL_NAME});
    Map::from_iter([("kernelspec".to_string(), kernel), ("language_info".to_string(), language_info())])
}

/// A text that a notebook may hold in one piece or in lines.
fn one_piece(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        _ => String::new(),
    }
}

fn one_piece_value(value: &Value) -> Value {
    match value {
        Value::Array(lines) if lines.iter().all(Value::is_string) => Value::String(one_piece(value)),
        _ => value.clone(),
    }
}

fn in_lines(value: &Value) -> Value {
    match value {
        Value::String(text) => text.split_inclusive('\n').collect(),
        _ => value.clone(),
    }
}

/// Applies `change` to the texts of an output: a stream's text, or each MIME type but JSON.
fn map_texts(output: &Value, change: fn(&Value) -> Value) -> Value {
    let mut output = output.clone();
    if let Some(text) = output.get_mut("text") {
        *text = change(text);
    }
    for (mime, value) in output.get_mut("data").and_then(Value::as_object_mut).into_iter().flatten() {
        if mime != "application/json" && !mime.ends_with("+json") {
            *value = change(value);
        }
    }
    output
}

/// JSON with sorted keys, one value a line, one space a level.
fn pretty(value: &Value, level: usize, text: &mut String) {
    let line = |level: usize, text: &mut String| {
        text.push('\n');
        text.extend(std::iter::repeat_n(' ', level));
    };
    match value {
        Value::Array(items) if !items.is_empty() => {
            text.push('[');
            for (place, item) in items.iter().enumerate() {
                text.push_str(if place == 0 { "" } else { "," });
                line(level + 1, text);
                pretty(item, level + 1, text);
            }
            line(level, text);
            text.push(']');
        }
        Value::Object(entries) if !entries.is_empty() => {
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_str());
            text.push('{');
            for (place, (key, item)) in entries.into_iter().enumerate() {
                text.push_str(if place == 0 { "" } else { "," });
                line(level + 1, text);
                text.push_str(&Value::String(key.clone()).to_string());
                text.push_str(": ");
                pretty(item, level + 1, text);
            }
            line(level, text);
            text.push('}');
        }
        _ => text.push_str(&value.to_string()),
    }
}

#[cfg(test)]
#[path = "../../tests/support/mutation.rs"]
mod mutation;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::mutation::{Seed, input};
    use super::{DEPENDENCY, Notebook};
    use crate::cells::{Lesson, tests::LESSON};

    fn notebook() -> Notebook {
        let mut notebook = Notebook::from_lesson(&Lesson::split(LESSON).unwrap());
        notebook.cells[1].execution_count = Some(1);
        notebook.cells[1].outputs = vec![
            json!({"output_type": "stream", "name": "stdout", "text": "one\ntwo\n"}),
            json!({"output_type": "display_data", "data": {"text/html": "<p>\n</p>", "application/x+json": {"b": [1, "x"], "a": []}}, "metadata": {}}),
        ];
        notebook
    }

    #[test]
    fn read_undoes_write() {
        let notebook = notebook();
        assert_eq!(Notebook::read(&notebook.write()).unwrap(), notebook);
    }

    #[test]
    fn changed_notebooks_are_read_or_refused() {
        let corpus =
            [Seed::new("a.ipynb", notebook().write()), Seed::new("b.ipynb", r#"{"nbformat": 4, "cells": [{"source": ["a\n", 1]}]}"#)];
        let count = std::env::var("FINETUNING_FUZZ").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000);
        let mut read = 0;
        for number in 1..=count {
            let (_, bytes) = input(&corpus, &["[", "{\"a\":", "\\u0000"], number);
            let Ok(notebook) = Notebook::read(&String::from_utf8_lossy(&bytes)) else { continue };
            let again = Notebook::read(&notebook.write()).unwrap_or_else(|error| panic!("input {number}: {error}"));
            assert_eq!(again.cells.len(), notebook.cells.len(), "input {number}");
            let _ = notebook.missing_outputs();
            read += 1;
        }
        assert!(read > count / 20 && read < count, "{read} of {count} were read");
    }

    #[test]
    fn what_is_no_file_is_no_notebook() {
        assert_eq!(Notebook::open("/dev/zero".as_ref()).unwrap_err(), "/dev/zero: not a file");
        assert!(Notebook::open("/no/such.ipynb".as_ref()).unwrap_err().starts_with("/no/such.ipynb: No such file"));
        assert!(Notebook::read(&"[".repeat(100_000)).unwrap_err().contains("recursion limit"));
    }

    #[test]
    fn the_first_code_cell_names_the_companion() {
        let notebook = notebook();
        assert!(notebook.cells[1].source.starts_with(&format!("{DEPENDENCY}\nuse finetuning::*;")));
        assert!(!notebook.cells[2].source.contains(":dep"));
    }

    #[test]
    fn keys_are_sorted_and_texts_are_in_lines() {
        let text = notebook().write();
        assert!(text.starts_with("{\n \"cells\": [\n  {\n   \"cell_type\": \"markdown\",\n   \"id\": \"cell-01\",\n"));
        assert!(text.contains("\"text\": [\n      \"one\\n\",\n      \"two\\n\"\n     ]"));
        assert!(text.ends_with("\"nbformat\": 4,\n \"nbformat_minor\": 5\n}\n"));
    }

    #[test]
    fn unchanged_cells_keep_their_outputs() {
        let old = notebook();
        let mut new = Notebook::from_lesson(&Lesson::split(&LESSON.replace("# Title", "# Other")).unwrap());
        assert!(!new.same_cells(&old));
        new.keep_outputs(&old);
        assert_eq!(new.cells[1].outputs, old.cells[1].outputs);
        let mut changed = Notebook::from_lesson(&Lesson::split(&LESSON.replace("é", "e")).unwrap());
        changed.keep_outputs(&old);
        assert!(changed.cells[1].outputs.is_empty());
    }

    #[test]
    fn what_is_missing_in_the_outputs_is_named() {
        let mut notebook = notebook();
        assert_eq!(notebook.missing_outputs(), ["cell 3 has not run"]);
        notebook.cells[2].execution_count = Some(2);
        assert!(notebook.missing_outputs().is_empty());
        notebook.cells[2].outputs.push(json!({"output_type": "error", "ename": "E", "evalue": "why", "traceback": []}));
        assert_eq!(notebook.missing_outputs(), ["cell 3 ended with an error: why"]);
    }
}
