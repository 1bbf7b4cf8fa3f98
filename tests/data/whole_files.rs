//! Files that hold more, less or something else than they seem to: nothing is left out, mixed or changed in silence.

use std::path::{Path, PathBuf};
use std::process::Command;

use finetuning::*;
use serde_json::{Value, json};

use crate::process::harness;
use crate::support::workbook::workbook;
use crate::support::{fixture, fresh_folder, refused};

const ROW: &str = "{\"question\": \"a\", \"answer\": \"b\"}\n";

fn file(name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = fresh_folder().join(name);
    write(&path, bytes);
    path
}

fn write(path: &Path, bytes: impl AsRef<[u8]>) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn load(path: &Path, options: DataOptions) -> Result<Vec<Value>> {
    let data = load_dataset_with(path.to_str().unwrap(), options)?;
    Ok(data.iter().map(|row| Value::Object(row.fields().iter().cloned().collect())).collect())
}

/// What a process says that loads rows, and, with a tokenizer, makes ids of them.
fn said(path: &Path, more: &[&str]) -> String {
    let output = harness("load-rows").arg(path).args(more).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

#[test]
fn what_follows_a_list_is_no_comment() {
    let list = "[{\"text\": \"a\"}]";
    for (more, line) in [("\n[{\"text\": \"b\"}]", "a.json:2"), (" x", "a.json:1"), ("]", "a.json:1"), ("\n\n{}", "a.json:3")] {
        refused(load(&file("a.json", format!("{list}{more}")), DataOptions::new()), &[line, "something follows the list"]);
    }
    assert_eq!(load(&file("a.json", format!("{list} \n\t\n")), DataOptions::new()).unwrap(), [json!({"text": "a"})]);
    // Two lists of one name: the first alone was read.
    let twice = "{\"data\": [{\"text\": \"a\"}], \"data\": [{\"text\": \"b\"}]}";
    for options in [DataOptions::new(), DataOptions::new().with_field("data")] {
        refused(load(&file("a.json", twice), options), &["a.json", "`data` stands twice"]);
    }
    // Objects one after the other have no field in common.
    refused(
        load(&file("a.json", "{\"data\": []}\n{\"data\": []}"), DataOptions::new().with_field("data")),
        &["a.json", "`data`", "several objects"],
    );
}

#[test]
fn a_header_in_the_middle_is_no_row() {
    let (head, rows) = ("question,answer\n", "a,1\n");
    let path = file("a.csv", [head, rows, head, "b,2\n"].concat());
    refused(load(&path, DataOptions::new()), &["a.csv:3", "the header stands here again"]);
    let rest = load(&path, DataOptions::new().with_on_error(OnError::Skip)).unwrap();
    assert_eq!(rest, [json!({"question": "a", "answer": 1}), json!({"question": "b", "answer": 2})], "and the numbers stay numbers");
    let marked = ["\u{feff}", head, rows, "\u{feff}", head, rows].concat();
    refused(load(&file("a.csv", &marked), DataOptions::new()), &["a.csv:3", "header"]);
    refused(load(&file("a.tsv", marked.replace(',', "\t")), DataOptions::new()), &["a.tsv:3", "header"]);
    // A list of words may have the word `text`.
    assert_eq!(load(&file("a.csv", "text\na\ntext\n"), DataOptions::new()).unwrap().len(), 2);
}

#[test]
fn numbers_that_lose_how_they_are_written_are_said() {
    let path = file("a.csv", "question,price,share,ok,count\na,1.50,1,true,7\nb,2.25,0.5,False,8\n");
    let text = said(&path, &[]);
    for part in [
        "`1.50` of the column `price` is 1.5",
        "`1` of the column `share` is 1.0",
        "`true` of the column `ok` is True",
        "with_infer_types(false)",
    ] {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
    assert!(!text.contains("`count`"), "{text}");
    // What is written as it is read again is not worth a word.
    let text = said(&file("a.csv", "question,price,ok\na,1.5,True\nb,2.25,False\n"), &[]);
    assert!(!text.contains("lose"), "{text}");
    let texts = load(&path, DataOptions::new().with_infer_types(false)).unwrap();
    assert_eq!(texts[0], json!({"question": "a", "price": "1.50", "share": "1", "ok": "true", "count": "7"}));
}

#[test]
fn a_pattern_takes_files_of_one_kind() {
    let folder = fresh_folder();
    for (name, text) in
        [("a.jsonl", ROW), ("b.jsonl", ROW), ("README.md", "# Rows\nof mine\n"), ("notes.txt", "to do\n"), ("c.py", "x = 1\n")]
    {
        write(&folder.join(name), text);
    }
    let all = folder.join("*");
    assert_eq!(load(&all, DataOptions::new()).unwrap(), vec![json!({"question": "a", "answer": "b"}); 2]);
    let text = said(&all, &[]);
    assert!(text.contains("left out") && text.contains("`README.md`") && text.contains("`notes.txt`"), "{text}");
    let options = || DataOptions::new().with_data_files(["*"]);
    assert_eq!(load(&folder, options()).unwrap().len(), 2);
    // Kinds that no name tells are told by the content.
    let plain = fresh_folder();
    write(&plain.join("part-0"), ROW);
    write(&plain.join("part-1"), ROW);
    assert_eq!(load(&plain.join("part-*"), DataOptions::new()).unwrap().len(), 2);
}

#[test]
fn a_link_to_nothing_is_missed() {
    let link = |target: &str, name: &str| {
        let folder = fresh_folder();
        write(&folder.join("train-0.jsonl"), ROW);
        std::os::unix::fs::symlink(target, folder.join(name)).unwrap();
        load(&folder, DataOptions::new())
    };
    refused(link("/no/such/file", "train-1.jsonl"), &["train-1.jsonl", "No such file"]);
    refused(link("train-1.jsonl", "train-1.jsonl"), &["train-1.jsonl", "symbolic links"]);
    refused(link("/dev/zero", "train-1.jsonl"), &["train-1.jsonl", "is no file"]);
    assert_eq!(link("/no/such/file", "notes").unwrap().len(), 1, "what is no part of the split may lead anywhere");
    let folder = fresh_folder();
    write(&folder.join("train-0.jsonl"), ROW);
    assert!(Command::new("mkfifo").arg(folder.join("train-1.jsonl")).status().unwrap().success());
    refused(load(&folder, DataOptions::new()), &["train-1.jsonl", "is no file"]);
}

#[test]
fn a_card_that_cannot_be_read_is_no_missing_card() {
    let folder = fresh_folder();
    write(&folder.join("train.jsonl"), ROW);
    std::os::unix::fs::symlink("README.md", folder.join("README.md")).unwrap();
    refused(load(&folder, DataOptions::new()), &["README.md", "symbolic links"]);
    // A card whose configs stand behind what is read of it.
    let folder = fresh_folder();
    let files = "configs:\n- config_name: a\n  data_files:\n  - split: train\n    path: good.jsonl\n---\n";
    write(&folder.join("README.md"), format!("---\nx:\n{}{files}", "- 0123456789\n".repeat(100_000)));
    write(&folder.join("good.jsonl"), ROW);
    write(&folder.join("train.jsonl"), "{\"text\": \"wrong\"}\n");
    refused(load(&folder, DataOptions::new()), &["README.md", "does not end within 1 MB", "DataOptions::with_data_files"]);
    write(&folder.join(".huggingface.yaml"), "# ".repeat(1 << 20));
    refused(load(&folder, DataOptions::new()), &[".huggingface.yaml", "longer than 1 MB"]);
}

#[test]
fn a_file_that_changes_while_it_is_read_is_an_error() {
    let many = |row: usize| format!("{{\"text\": \"{row} {}\"}}\n", "x".repeat(100));
    let rows: String = (0..20_000).map(many).collect();
    let table: String =
        std::iter::once("text,n\n".to_string()).chain((0..20_000).map(|row| format!("{row} {},1\n", "x".repeat(100)))).collect();
    let list = format!("[{}]", rows.trim_end().replace('\n', ","));
    for (name, text) in [("a.jsonl", &rows), ("a.csv", &table), ("a.json", &list), ("a.txt", &rows)] {
        let path = file(name, text);
        let mut stream = ExampleStream::open(&path).unwrap();
        stream.next().unwrap().unwrap();
        // As a program does that writes on.
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend_from_slice(if name == "a.csv" { b"y,2\n" } else { b" " });
        std::fs::write(&path, &bytes).unwrap();
        let last = stream.last().unwrap();
        refused(last, &[name, "changed while it was read"]);
        // Another file of its name is not read: the one that was opened is whole.
        let mut stream = ExampleStream::open(&path).unwrap();
        stream.next().unwrap().unwrap();
        write(&path.with_extension("new"), ROW);
        std::fs::rename(path.with_extension("new"), &path).unwrap();
        assert!(stream.all(|row| row.is_ok()), "{name}");
    }
}

#[test]
fn json_in_a_cell_is_read_as_strictly_as_json() {
    let cell = |text: &str| format!("messages\n\"{}\"\n", text.replace('"', "\"\""));
    let of = |text: &str| load_dataset(file("a.csv", cell(text)).to_str().unwrap()).unwrap().detect();
    let turns = r#"[{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]"#;
    assert_eq!(of(turns).unwrap().shape, Shape::Messages);
    refused(of(&turns.replace("\"ho\"", "\"ho\", \"content\": \"hm\"")), &["column `messages`", "`[1].content`", "stands twice"]);
    let call = |arguments: &str| json!([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": arguments}}]}]);
    assert!(of(&call(r#"{"id": 18446744073709551615}"#).to_string()).is_ok());
    refused(of(&call(r#"{"id": 123456789012345678901234}"#).to_string()), &["message 1", "arguments", "beyond 64 bits"]);
    refused(of(&call(r#"{"id": 1, "id": 2}"#).to_string()), &["message 1", "arguments", "stands twice"]);
}

#[test]
fn rows_of_several_shapes_cut_rows_and_empty_answers_are_said() {
    let tokenizer = fixture("neox-tokenizer").display().to_string();
    let mixed = file("a.jsonl", format!("{ROW}{ROW}{{\"text\": \"c\"}}\n{{\"question\": \"d\", \"answer\": \"\"}}\n"));
    let text = said(&mixed, &[&tokenizer, "2048"]);
    assert!(
        text.contains("3 as question and answer (the first is row 0), 1 as texts that are learnt whole (the first is row 2)"),
        "{text}"
    );
    let long = file("a.jsonl", format!("{ROW}{{\"question\": \"{}\", \"answer\": \"b\"}}\n", "word ".repeat(50)));
    let text = said(&long, &[&tokenizer, "20"]);
    // Once by each of the two ways to make ids.
    assert_eq!(text.matches("1 of 2 rows are longer than max_length and were cut; the first is row 1").count(), 2, "{text}");
    assert!(!text.contains("several ways"), "{text}");
    let silent = file("a.jsonl", format!("{ROW}{{\"question\": \"d\", \"answer\": \"\"}}\n"));
    let text = said(&silent, &[&tokenizer, "20"]);
    assert!(text.contains("1 of 2 rows have an empty answer") && text.contains("1 of 2 rows have nothing to predict"), "{text}");
}

#[test]
fn a_sheet_with_rows_twice_is_refused() {
    let head = [("A1", "question"), ("B1", "answer")];
    let sheet = |rows: &[(u32, &[(&str, &str)])]| {
        let cell = |(place, text): &(&str, &str)| format!("<c r=\"{place}\" t=\"inlineStr\"><is><t>{text}</t></is></c>");
        let row =
            |(number, cells): &(u32, &[(&str, &str)])| format!("<row r=\"{number}\">{}</row>", cells.iter().map(cell).collect::<String>());
        workbook(&rows.iter().map(row).collect::<String>())
    };
    let load = |bytes: Vec<u8>| load(&file("a.xlsx", bytes), DataOptions::new());
    let good: &[(&str, &str)] = &[("A2", "a"), ("B2", "b")];
    assert_eq!(load(sheet(&[(1, &head), (2, good)])).unwrap(), [json!({"question": "a", "answer": "b"})]);
    refused(
        load(sheet(&[(1, &head), (2, &[("A2", "a"), ("B2", "b"), ("B2", "c")])])),
        &["a.xlsx, sheet `S`, row 2", "the cell B stands twice"],
    );
    refused(
        load(sheet(&[(1, &head), (2, good), (3, &[("A3", "question"), ("B3", "answer")])])),
        &["row 3", "names of the columns stand here again"],
    );
    refused(load(sheet(&[(3, &[("A3", "x"), ("B3", "y")]), (1, &head), (2, good)])), &["row 1", "stands behind row 3"]);
}

#[test]
fn files_that_may_be_meant_otherwise_are_said() {
    let say = |files: &[&str]| {
        let folder = fresh_folder();
        files.iter().for_each(|file| write(&folder.join(file), ROW));
        said(&folder, &[])
    };
    for (files, part) in [
        (
            &["trainData.jsonl", "testData.jsonl"][..],
            "`testData.jsonl` read as a part of the split `train`, though the name tells of `test`",
        ),
        (&["train_test.jsonl"], "`train_test.jsonl` read twice: in the splits `train` and `test`"),
        (&["a.jsonl", "a.jsonl.gz"], "`a.jsonl.gz` read beside the same file unpacked"),
        (&["train.jsonl", "train.jsonl.bak"], "`train.jsonl.bak` read in the split `train`, though it seems to be a copy"),
        (&["a.jsonl", "a copy.jsonl"], "`a copy.jsonl` read in the split `train`, though it seems to be a copy"),
    ] {
        let text = say(files);
        assert!(text.contains(part) && text.contains("with_split_files"), "{text}");
    }
    let plain = say(&["train.jsonl", "test.jsonl", "latest_contest.jsonl"]);
    assert!(!plain.contains("with_split_files"), "{plain}");
}

#[test]
fn columns_that_are_not_read_of_pairs_are_said() {
    let tokenizer = fixture("neox-tokenizer").display().to_string();
    let pairs = file("a.jsonl", "{\"prompt\": \"q\", \"chosen\": \" a\", \"rejected\": \" b\", \"context\": \"c\", \"input\": \"i\"}\n");
    let output = harness("load-pairs").arg(&pairs).arg(&tokenizer).output().unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(text.contains("1 pairs") && text.contains("columns that are not read: `context`, `input`"), "{text}");
}
