//! `lab run` from the outside: a notebook → its cells run in a kernel, its outputs in the file.

use crate::notebook::{Folder, notebook, read};

/// A companion that shows a text under a name, and another in its place.
const COMPANION: &str = r#"
pub fn seven() -> u32 { 7 }

pub fn show(verb: &str, text: &str) {
    let secrets = std::fs::read_to_string(std::env::var("FINETUNING_MARKS").unwrap()).unwrap();
    let record = format!("{{\"{verb}\":{{\"id\":\"a\",\"data\":{{\"text/plain\":\"{text}\"}}}}}}");
    println!("\x02K{}{record}", secrets.split(' ').next().unwrap());
}
"#;

#[test]
fn a_notebook_runs_from_top_to_bottom_and_stops_at_the_cell_that_fails() {
    let folder = Folder::new(COMPANION);
    let good = folder.join("good.ipynb");
    let codes = [
        ":dep finetuning = { path = \"../lib\" }\nuse finetuning::{seven, show};\nlet x = seven();\nprint!(\"a\");\nprintln!(\"b\");",
        "show(\"display\", \"one\");",
        "show(\"update\", \"two\");",
        "x + 1",
        "std::env::current_dir().unwrap().file_name().unwrap().to_string_lossy().starts_with(\"finetuning-lab-\")",
    ];
    std::fs::write(&good, notebook(&codes).write()).unwrap();
    let output = folder.lab(&["run", "good.ipynb", "--write"]);
    assert!(output.status.success(), "{output:?}");
    let line = String::from_utf8(output.stdout).unwrap();
    assert!(line.starts_with("good.ipynb") && line.contains("  5 cells") && line.ends_with(" s  ok\n"), "{line}");
    let cells = read(&good).cells;
    assert_eq!(cells.iter().map(|cell| cell.execution_count).collect::<Vec<_>>(), [Some(1), Some(2), Some(3), Some(4), Some(5)]);
    assert_eq!(cells[0].outputs, [serde_json::json!({"output_type": "stream", "name": "stdout", "text": "ab\n"})]);
    assert_eq!(cells[1].outputs[0]["data"]["text/plain"], "two", "an update reaches the display of an earlier cell");
    assert!(cells[2].outputs.is_empty());
    assert_eq!(cells[3].outputs[0]["data"]["text/plain"], "8");
    assert_eq!(cells[4].outputs[0]["data"]["text/plain"], "true", "the notebook's folder is the working folder");

    let bad = folder.join("bad.ipynb");
    std::fs::write(&bad, notebook(&["let x = 1;", "let y: u32 = \"text\";", "x"]).write()).unwrap();
    let output = folder.lab(&["run", "bad.ipynb", "--write"]);
    assert_eq!(output.status.code(), Some(1));
    let (lines, words) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(lines.contains("  2 cells") && lines.contains(" s  failed\n    cell 2: ") && lines.contains("E0308"), "{lines}");
    assert!(words.ends_with("error: bad.ipynb failed\nfix:   cargo lab run bad.ipynb\n"), "{words}");
    let cells = read(&bad).cells;
    assert_eq!(cells[1].outputs.last().unwrap()["output_type"], "error");
    assert_eq!(cells[2].execution_count, None);
}
