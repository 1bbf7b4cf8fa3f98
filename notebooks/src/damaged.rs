//! Changed notebooks → each is read or refused, in the tests alone.

#[path = "../../tests/support/mutation.rs"]
mod mutation;

use serde_json::json;

use crate::ipynb::Notebook;
use mutation::{Seed, input};

#[test]
fn changed_notebooks_are_read_or_refused() {
    let whole = json!({
        "cells": [
            {"cell_type": "markdown", "id": "a", "metadata": {}, "source": ["# A\n", "b"], "attachments": {"a.png": {"image/png": "iVBO"}}},
            {"cell_type": "code", "id": "b", "execution_count": 1, "metadata": {"tags": ["t"]}, "source": "1 + 1", "outputs": [
                {"output_type": "stream", "name": "stdout", "text": ["one\n", "two"]},
                {"output_type": "display_data", "data": {"text/html": "<p>", "application/x+json": {"b": [1, "x"]}}, "metadata": {}},
                {"output_type": "error", "ename": "E", "evalue": "why", "traceback": []},
            ]},
            {"cell_type": "raw", "metadata": {}, "source": []},
        ],
        "metadata": {"kernelspec": {"name": "rust"}}, "nbformat": 4, "nbformat_minor": 5,
    });
    let corpus = [Seed::new("a.ipynb", whole.to_string()), Seed::new("b.ipynb", r#"{"nbformat": 4, "cells": [{"source": ["a\n", 1]}]}"#)];
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
    let many = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(many.path(), "[],".repeat(1 << 24)).unwrap();
    assert!(Notebook::open(many.path()).unwrap_err().contains("values, more than any notebook"));
}
