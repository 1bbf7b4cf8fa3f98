//! Cells ↔ nbformat 4.5: the file that Jupyter opens, written the way that Jupyter writes it.
//!
//! Format: <https://nbformat.readthedocs.io/en/latest/format_description.html>. Keys are sorted and the indentation is one
//! space, so that saving in JupyterLab changes nothing but outputs. What this crate does not know (raw cells, attachments,
//! fields of other programs) is written as it was read.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::json::{in_lines, map_texts, one_piece, one_piece_value, pretty};
use crate::marker::Kind;

/// The name by which Jupyter finds our kernel.
pub const KERNEL_NAME: &str = "rust-finetuning";
/// The name that Jupyter shows.
pub const KERNEL_DISPLAY_NAME: &str = "Rust (finetuning)";

/// A cell of a notebook.
#[derive(Debug, Clone, PartialEq)]
pub struct NotebookCell {
    pub kind: Kind,
    /// Empty in a notebook of a format before 4.5, which has none.
    pub id: String,
    pub source: String,
    pub metadata: Map<String, Value>,
    /// The place of the cell in the order of execution; `None` for text and for code that has not run.
    pub execution_count: Option<u64>,
    /// Outputs as in the file, but with each text in one piece.
    pub outputs: Vec<Value>,
    /// The fields besides, such as `attachments`; of a cell of another kind `cell_type` too.
    pub other: Map<String, Value>,
}

/// A notebook.
#[derive(Debug, Clone, PartialEq)]
pub struct Notebook {
    pub cells: Vec<NotebookCell>,
    pub metadata: Map<String, Value>,
    /// The fields besides: `nbformat`, `nbformat_minor`, and what other programs add.
    pub other: Map<String, Value>,
}

impl Notebook {
    /// A notebook of these cells for our kernel.
    pub fn new(cells: Vec<NotebookCell>) -> Notebook {
        let format = [("nbformat".to_string(), 4.into()), ("nbformat_minor".to_string(), 5.into())];
        Notebook { cells, metadata: metadata(), other: Map::from_iter(format) }
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

    /// Reads the text of an .ipynb file.
    ///
    /// # Errors
    /// What is missing for a notebook of format 4.
    pub fn read(text: &str) -> Result<Notebook, String> {
        let value = serde_json::from_str(text).map_err(|error| format!("not a notebook: {error}"))?;
        let Value::Object(mut other) = value else { return Err("not a notebook: it is no JSON object".into()) };
        let format = other.get("nbformat").cloned().unwrap_or_default();
        if format != 4 {
            return Err(format!("nbformat is {format}, not 4"));
        }
        let has_ids = other.get("nbformat_minor").and_then(Value::as_u64).is_some_and(|minor| minor >= 5);
        let Some(Value::Array(cells)) = other.shift_remove("cells") else { return Err("not a notebook: it has no cells".into()) };
        let cells = cells.into_iter().enumerate().map(|(place, cell)| match cell {
            Value::Object(fields) => Ok(NotebookCell::read(fields, has_ids, place)),
            _ => Err(format!("not a notebook: cell {} is no JSON object", place + 1)),
        });
        Ok(Notebook { cells: cells.collect::<Result<_, _>>()?, metadata: object(other.shift_remove("metadata")), other })
    }

    /// Writes the text of an .ipynb file.
    pub fn write(&self) -> String {
        let mut value = self.other.clone();
        value.insert("cells".into(), self.cells.iter().map(NotebookCell::write).collect());
        value.insert("metadata".into(), Value::Object(self.metadata.clone()));
        let mut text = String::new();
        pretty(&Value::Object(value), 0, &mut text);
        text.push('\n');
        text
    }

    /// Writes an .ipynb file as a whole, or leaves an older one as it was; it keeps the permissions of that one.
    ///
    /// # Errors
    /// The folder or the file cannot be written.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let mode = std::fs::metadata(path).map_or(0o666, |file| file.permissions().mode());
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let permissions = std::fs::Permissions::from_mode(mode);
        let mut file = tempfile::Builder::new().prefix(".ipynb.").permissions(permissions).tempfile_in(folder)?;
        file.write_all(self.write().as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path).map(drop).map_err(|failed| failed.error)
    }
}

impl NotebookCell {
    /// A cell that has not run.
    pub fn new(kind: Kind, id: impl Into<String>, source: impl Into<String>) -> Self {
        Self {
            kind,
            id: id.into(),
            source: source.into(),
            metadata: Map::new(),
            execution_count: None,
            outputs: Vec::new(),
            other: Map::new(),
        }
    }

    /// The cell at a place, of a notebook that gives cells an id, or not.
    fn read(mut fields: Map<String, Value>, has_ids: bool, place: usize) -> Self {
        let kind = match fields.get("cell_type").and_then(Value::as_str) {
            Some("code") => Kind::Code,
            Some("markdown") => Kind::Markdown,
            _ => Kind::Other,
        };
        if kind != Kind::Other {
            fields.shift_remove("cell_type");
        }
        let id = match fields.shift_remove("id") {
            Some(Value::String(id)) => id,
            _ if has_ids => format!("cell-{:02}", place + 1),
            _ => String::new(),
        };
        let (source, metadata) = (fields.shift_remove("source").unwrap_or_default(), object(fields.shift_remove("metadata")));
        let (mut execution_count, mut outputs) = (None, Vec::new());
        if kind == Kind::Code {
            execution_count = fields.shift_remove("execution_count").and_then(|count| count.as_u64());
            if let Some(Value::Array(list)) = fields.shift_remove("outputs") {
                outputs = list.iter().map(|output| map_texts(output, one_piece_value)).collect();
            }
        }
        Self { kind, id, source: one_piece(&source), metadata, execution_count, outputs, other: fields }
    }

    fn write(&self) -> Value {
        let mut fields = self.other.clone();
        if !self.id.is_empty() {
            fields.insert("id".into(), self.id.as_str().into());
        }
        fields.insert("metadata".into(), Value::Object(self.metadata.clone()));
        fields.insert("source".into(), in_lines(&Value::String(self.source.clone())));
        match self.kind {
            Kind::Other => {}
            Kind::Markdown => drop(fields.insert("cell_type".into(), "markdown".into())),
            Kind::Code => {
                fields.insert("cell_type".into(), "code".into());
                fields.insert("execution_count".into(), self.execution_count.into());
                fields.insert("outputs".into(), self.outputs.iter().map(|output| map_texts(output, in_lines)).collect());
            }
        }
        Value::Object(fields)
    }
}

/// An object's entries; none for anything else.
fn object(value: Option<Value>) -> Map<String, Value> {
    match value {
        Some(Value::Object(entries)) => entries,
        _ => Map::new(),
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

fn metadata() -> Map<String, Value> {
    let kernel = json!({"display_name": KERNEL_DISPLAY_NAME, "language": "rust", "name": KERNEL_NAME});
    Map::from_iter([("kernelspec".to_string(), kernel), ("language_info".to_string(), language_info())])
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use std::os::unix::fs::PermissionsExt;

    use super::Notebook;
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
    fn what_this_crate_does_not_know_stays() {
        let foreign = json!({
            "cells": [
                {"cell_type": "raw", "id": "r", "metadata": {"format": "text/html"}, "source": ["<b>\n", "</b>"], "note": 1},
                {"cell_type": "markdown", "id": "m", "attachments": {"a.png": {"image/png": "iVBO"}}, "metadata": {}, "source": ["![](attachment:a.png)"]},
                {"cell_type": "code", "execution_count": null, "id": "c", "metadata": {"tags": ["parameters"]}, "outputs": [
                    {"output_type": "execute_result", "execution_count": 3, "data": {"image/png": "iVBO\n"}, "metadata": {"isolated": true}, "more": []},
                ], "source": []},
            ],
            "metadata": {"kernelspec": {"name": "python3"}, "widgets": {"a": null}}, "nbformat": 4, "nbformat_minor": 4, "extra": {"b": 0.1},
        });
        let mut without_ids = foreign.clone();
        for cell in without_ids["cells"].as_array_mut().unwrap() {
            cell.as_object_mut().unwrap().remove("id");
        }
        for value in [foreign, without_ids] {
            let written = Notebook::read(&value.to_string()).unwrap().write();
            let mut expected = value.clone();
            // A text with a line end in it is written in lines, as Jupyter does.
            expected["cells"][2]["outputs"][0]["data"]["image/png"] = json!(["iVBO\n"]);
            assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), expected);
        }
    }

    #[test]
    fn a_notebook_is_replaced_as_a_whole_with_its_permissions() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ipynb");
        std::fs::write(&path, "old").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        notebook().save(&path).unwrap();
        assert_eq!(Notebook::read(&std::fs::read_to_string(&path).unwrap()).unwrap(), notebook());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "something was left");
        assert!(notebook().save(&folder.path().join("no/a.ipynb")).is_err());
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
}
