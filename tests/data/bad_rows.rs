//! Rows that cannot be read: named by file, line, column and field; and then an end, a count or a list, as the caller says.

use std::path::PathBuf;

use finetuning::*;
use serde_json::json;

use crate::support::{fresh_folder, refused};

fn file(name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = fresh_folder().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn a_bad_row_is_named_by_line_column_and_field() {
    let good = "{\"question\": \"a\", \"answer\": \"b\"}\n";
    for (bad, parts) in [
        ("{\"question\": \"a\", \"answer\": }", &["rows.jsonl:3", "column 29", "field `answer`", "expected a value"][..]),
        ("{\"question\": \"a\", \"question\": \"b\"}", &["rows.jsonl:3", "field `question`", "stands twice"]),
        ("{\"a\": {\"b\": [0, 123456789012345678901]}}", &["rows.jsonl:3", "column 17", "field `a.b[1]`", "64 bits", "as a text"]),
        ("{\"score\": NaN}", &["rows.jsonl:3", "field `score`", "NaN", "null"]),
        ("{\"score\": -Infinity}", &["rows.jsonl:3", "field `score`", "Infinity"]),
        ("{'question': 'a'}", &["rows.jsonl:3", "Python dict", "json.dumps"]),
        ("[\"a\"]", &["rows.jsonl:3", "found a list"]),
        ("question,answer", &["rows.jsonl:3", "column 1", "expected a value"]),
        ("{\"question\": \"a\"", &["rows.jsonl:3", "it ends here"]),
        ("{\"a\": 1} {\"a\": 2}", &["rows.jsonl:3", "one object a line"]),
    ] {
        let path = file("rows.jsonl", format!("{good}\n{bad}\n{good}"));
        let before = std::fs::read(&path).unwrap();
        refused(Dataset::from_jsonl(&path), parts);
        let error = Dataset::from_jsonl(&path).unwrap_err();
        assert_eq!((error.row(), error.path()), (Some(3), Some(path.as_path())), "{bad}");
        let list = BadRows::new();
        let data = load_dataset_with(path.to_str().unwrap(), DataOptions::new().with_on_error(OnError::Collect(list.clone()))).unwrap();
        assert_eq!((data.len(), list.len(), list.list()[0].line), (2, 1, 3), "{bad}");
        assert_eq!(list.list()[0].reason, error.message());
        let data = load_dataset_with(path.to_str().unwrap(), DataOptions::new().with_on_error(OnError::Skip)).unwrap();
        assert_eq!(data.len(), 2);
        assert_eq!(std::fs::read(&path).unwrap(), before, "the file is as it was");
    }
    let mut bytes = format!("{good}{{\"a\": \"").into_bytes();
    bytes.extend(b"\xff\"}\n");
    bytes.extend(good.as_bytes());
    let path = file("rows.jsonl", bytes);
    refused(Dataset::from_jsonl(&path), &["rows.jsonl:2", "not UTF-8", "column 8", "iconv"]);
    let data = load_dataset_with(path.to_str().unwrap(), DataOptions::new().with_on_error(OnError::Skip)).unwrap();
    assert_eq!(data.len(), 2);
}

#[test]
fn lines_are_counted_right_in_every_block() {
    // Enough for several blocks and threads.
    let mut lines: Vec<String> = (0..120_000).map(|row| format!("{{\"text\": \"{}\", \"row\": {row}}}", "x".repeat(row % 90))).collect();
    let bad = [0, 17, 900, 65_535, 119_999];
    for row in bad {
        lines[row] = "oh".into();
    }
    let path = file("rows.jsonl", lines.join("\n"));
    let list = BadRows::new();
    let options = DataOptions::new().with_on_error(OnError::Collect(list.clone()));
    let rows: Vec<Example> = stream_dataset_with(path.to_str().unwrap(), &options).unwrap().collect::<Result<_>>().unwrap();
    let found: Vec<usize> = list.list().iter().map(|row| row.line - 1).collect();
    assert_eq!(found, bad);
    let expected: Vec<usize> = (0..lines.len()).filter(|row| !bad.contains(row)).collect();
    let numbers: Vec<usize> = rows.iter().map(|row| row.value("row").unwrap().as_u64().unwrap() as usize).collect();
    assert_eq!(numbers, expected, "in order");
    // What is left out counts for no limit and no part.
    let part = stream_dataset_with(path.to_str().unwrap(), options.with_split("train[1:3]")).unwrap();
    assert_eq!(part.map(|row| row.unwrap().value("row").unwrap().clone()).collect::<Vec<_>>(), [json!(2), json!(3)]);
}

#[test]
fn deep_and_wide_rows_do_no_harm() {
    let deep = format!("{{\"a\": {}1{}}}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    for name in ["a.jsonl", "a.json"] {
        refused(Dataset::from_jsonl(file(name, &deep)), &[name, "deep"]);
        refused(Dataset::from_jsonl(file(name, format!("[{deep}]"))), &[name]);
    }
    let fits = format!("{{\"a\": {}1{}}}", "[".repeat(100), "]".repeat(100));
    assert_eq!(Dataset::from_jsonl(file("a.jsonl", fits)).unwrap().len(), 1);
    let wide: String = (0..200_000).map(|field| format!("\"f{field}\": {field},")).collect();
    let mut stream = ExampleStream::open(file("a.jsonl", format!("{{{}}}", wide.trim_end_matches(',')))).unwrap();
    assert_eq!(stream.next().unwrap().unwrap().fields().len(), 200_000);
    refused(ExampleStream::open(file("a.jsonl", format!("{{{wide}\"f7\": 0}}"))).unwrap().next().unwrap(), &["field `f7`", "twice"]);
}

#[test]
fn a_line_of_a_hundred_megabytes_is_a_row() {
    let text = "x".repeat(100 << 20);
    let path = file("a.jsonl", format!("{{\"text\": \"{text}\"}}\n{{\"text\": \"b\"}}\n"));
    let lengths: Vec<usize> = ExampleStream::open(&path).unwrap().map(|row| row.unwrap()["text"].len()).collect();
    assert_eq!(lengths, [100 << 20, 1]);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn mixed_columns_keep_the_type_of_each_row() {
    let data = Dataset::from_jsonl(file("a.jsonl", "{\"a\": \"7\"}\n{\"a\": 7}\n{\"a\": 7.0}\n{\"a\": [7]}\n{\"a\": true}\n")).unwrap();
    let values: Vec<_> = data.iter().map(|row| row.value("a").unwrap().clone()).collect();
    assert_eq!(values, [json!("7"), json!(7), json!(7.0), json!([7]), json!(true)]);
    // The nearest number, to the last bit.
    let data =
        Dataset::from_jsonl(file("a.jsonl", "{\"a\": 0.1}\n{\"a\": 2.2250738585072011e-308}\n{\"a\": 123456789.123456789}\n")).unwrap();
    let values: Vec<f64> = data.iter().map(|row| row.value("a").unwrap().as_f64().unwrap()).collect();
    let bits: Vec<u64> = values.iter().map(|number| number.to_bits()).collect();
    assert_eq!(bits, [0x3fb9_9999_9999_999a, 0xfffffffffffff, 0x419d6f34547e6b75], "as Python's `float` reads them");
}

#[test]
fn columns_are_chosen_in_their_order() {
    let path = file("a.jsonl", "{\"a\": 1, \"b\": 2, \"c\": 3}\n{\"b\": 5, \"a\": 4}\n");
    let options = DataOptions::new().with_columns(["b", "a"]);
    let data = load_dataset_with(path.to_str().unwrap(), &options).unwrap();
    assert_eq!(data.iter().map(ToString::to_string).collect::<Vec<_>>(), ["{\"b\": 2, \"a\": 1}", "{\"b\": 5, \"a\": 4}"]);
    refused(load_dataset_with(path.to_str().unwrap(), options.with_columns(["c"])), &["no column `c`", "`b`, `a`"]);
}

#[test]
fn a_character_across_a_delimiter_is_none() {
    // The bytes are text when the tab between them is taken out.
    let path = file("rows.tsv", b"a\tb\nx\xd6\t\xa2y\nc\td\n");
    refused(Dataset::from_jsonl(&path), &["rows.tsv:2", "not UTF-8", "iconv"]);
    let data = load_dataset_with(path.to_str().unwrap(), DataOptions::new().with_on_error(OnError::Skip)).unwrap();
    assert_eq!(data.len(), 1);
    // A delimiter that the file names itself, and that is no character of one byte.
    assert!(Dataset::from_jsonl(file("rows.csv", b"sep=\xd6\na\xd6b\n1\xd62\n")).is_err());
}
