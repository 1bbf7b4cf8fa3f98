//! Every kind of file → the same rows, and what is refused with what to type instead.

use std::path::{Path, PathBuf};

use finetuning::*;
use serde_json::{Value, json};

use crate::process::harness;
use crate::support::{fixture, fresh_folder, refused};

fn file(name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = fresh_folder().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn load(path: &Path, options: DataOptions) -> Result<Vec<Value>> {
    let data = load_dataset_with(path.to_str().unwrap(), options)?;
    Ok(data.iter().map(|row| Value::Object(row.fields().iter().cloned().collect())).collect())
}

fn rows(name: &str, bytes: impl AsRef<[u8]>) -> Vec<Value> {
    load(&file(name, bytes), DataOptions::new()).unwrap()
}

#[test]
fn every_kind_of_file_gives_the_same_rows() {
    let expected = vec![json!({"question": "a", "n": 1}), json!({"question": "ä\nb", "n": null})];
    let lines = "{\"question\": \"a\", \"n\": 1}\n{\"question\": \"ä\\nb\", \"n\": null}\n";
    let list = "[{\"question\": \"a\", \"n\": 1},\n {\"question\": \"ä\\nb\", \"n\": null}]";
    let csv = "question,n\na,1\n\"ä\nb\",\n";
    let utf16 = |text: &str, big: bool| -> Vec<u8> {
        let unit = |unit: u16| if big { unit.to_be_bytes() } else { unit.to_le_bytes() };
        text.encode_utf16().fold(unit(0xfeff).to_vec(), |mut bytes, next| {
            bytes.extend(unit(next));
            bytes
        })
    };
    for (name, bytes) in [
        ("a.jsonl", lines.as_bytes().to_vec()),
        ("a.NDJSON", lines.as_bytes().to_vec()),
        ("a.json", lines.as_bytes().to_vec()),
        ("a.json", list.as_bytes().to_vec()),
        ("A.JSON", format!("{{\"version\": \"1\", \"data\": {list}}}").into_bytes()),
        ("a.json", b"{\"question\": [\"a\", \"\xc3\xa4\\nb\"], \"n\": [1, null]}".to_vec()),
        ("a.json", b"{\"question\": {\"0\": \"a\", \"1\": \"\xc3\xa4\\nb\"}, \"n\": {\"0\": 1, \"1\": null}}".to_vec()),
        ("a.json", b"{\n \"question\": \"a\",\n \"n\": 1\n}\n{\n \"question\": \"\xc3\xa4\\nb\",\n \"n\": null\n}\n".to_vec()),
        ("a.csv", csv.as_bytes().to_vec()),
        ("a.CSV", format!("\u{feff}{}", csv.replace("\n", "\r\n").replace("ä\r\n", "ä\n")).into_bytes()),
        ("a.csv", csv.replace(',', ";").into_bytes()),
        ("a.csv", format!("sep=|\n{}", csv.replace(',', "|")).into_bytes()),
        ("a.tsv", csv.replace(',', "\t").into_bytes()),
        ("a.jsonl", format!("\u{feff}{lines}").into_bytes()),
        ("a.jsonl", lines.replace('\n', "\r\n").into_bytes()),
        ("a.jsonl", lines.replace('\n', "\r").into_bytes()),
        ("a.jsonl", format!("\n \n{}", lines.trim_end()).into_bytes()),
        ("a.jsonl", utf16(lines, false)),
        ("a.json", utf16(list, true)),
        // A name that says something else, or nothing.
        ("a.jsonl", list.as_bytes().to_vec()),
        ("a.csv", lines.as_bytes().to_vec()),
        ("a.jsonl.gz", lines.as_bytes().to_vec()),
        ("rows", lines.as_bytes().to_vec()),
        ("rows", list.as_bytes().to_vec()),
    ] {
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        assert_eq!(rows(name, bytes), expected, "{name}: {shown}");
    }
    assert_eq!(load(&file("a.csv", csv.replace(',', "\t")), DataOptions::new().with_format(Format::Tsv)).unwrap(), expected);
}

#[test]
fn packed_files_of_several_parts_are_read_to_their_end() {
    let expected = vec![json!({"text": "a"}), json!({"text": "b"})];
    for name in ["two.jsonl.gz", "two.jsonl.zst"] {
        let path = fixture("files").join(name);
        assert_eq!(load(&path, DataOptions::new()).unwrap(), expected, "{name}");
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(rows(&name.replace(".jsonl", ".JSONL").to_uppercase(), &bytes), expected, "{name}");
        // What is cut off is no shorter file.
        for cut in [1, 3, 9, 12, 20] {
            let cut = file(name, &bytes[..bytes.len() - cut]);
            refused(load(&cut, DataOptions::new()), &[name]);
        }
        let mut damaged = bytes.clone();
        let last = damaged.len() - 6;
        damaged[last] ^= 0x40;
        refused(load(&file(name, damaged), DataOptions::new()), &[name]);
        // The name says nothing, the content does.
        assert_eq!(rows("rows.jsonl", &bytes), expected);
    }
}

#[test]
fn lists_in_an_object_are_chosen_or_asked_for() {
    let two = "{\"train\": [{\"text\": \"a\"}], \"test\": [{\"text\": \"b\"}], \"n\": 1}";
    refused(load(&file("a.json", two), DataOptions::new()), &["`train`, `test`", "DataOptions::with_field"]);
    // Of one length they are no columns either.
    let even = "{\"train\": [{\"text\": \"a\"}], \"test\": [{\"text\": \"b\"}]}";
    refused(load(&file("a.json", even), DataOptions::new()), &["`train`, `test`", "DataOptions::with_field"]);
    assert_eq!(load(&file("a.json", even), DataOptions::new().with_field("test")).unwrap(), [json!({"text": "b"})]);
    let own = json!({"messages": [{"role": "user", "content": "hi"}], "tools": [{"name": "f"}]});
    assert_eq!(rows("a.json", own.to_string()), [own]);
    assert_eq!(load(&file("a.json", two), DataOptions::new().with_field("test")).unwrap(), [json!({"text": "b"})]);
    refused(load(&file("a.json", two), DataOptions::new().with_field("dev")), &["`dev` is missing", "`train`, `test`, `n`"]);
    refused(load(&file("a.json", two), DataOptions::new().with_field("n")), &["`n` is a number"]);
    // A chat is one row, not a row a message.
    let chat = json!({"id": 7, "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]});
    assert_eq!(rows("a.json", serde_json::to_string_pretty(&chat).unwrap()), [chat]);
    assert_eq!(rows("a.json", "{\"question\": \"a\", \"tags\": [\"b\"]}"), [json!({"question": "a", "tags": ["b"]})]);
    assert_eq!(rows("a.json", "[\"a\", \"b\"]"), [json!({"text": "a"}), json!({"text": "b"})]);
    refused(load(&file("a.json", "{\"a\": [1, 2], \"b\": [1]}"), DataOptions::new()), &["`b` has 1 values, `a` has 2"]);
    refused(load(&file("a.json", "{\"x\": {\"q\": 1}, \"y\": {\"q\": 2}}"), DataOptions::new()), &["`x` is an object"]);
    for (text, parts) in [
        ("[{\"a\": 1},]", &["a.json:1", "column 11", "a comma"][..]),
        ("[{\"a\": 1}\n {\"a\": 2}]", &["a.json:2", "column 2", "expected `,` or `]`"]),
        ("[{\"a\": 1}", &["a.json:1", "ends"]),
        ("[\n {\"a\": 1},\n {\"a\": oh}\n]", &["a.json:3", "column 8", "field `a`"]),
        ("[{\"a\": 1}, 2]", &["a.json:1", "column 12", "found a number"]),
        ("[{\"a\": 1}, \"x\", {\"a\": 2}]", &["a.json:1", "column 12", "found a text"]),
        ("[{\"a\": 1}] x", &["a.json:1", "column 12", "something follows the list"]),
        ("7", &["a.json:1"]),
    ] {
        refused(load(&file("a.json", text), DataOptions::new()), parts);
    }
}

#[test]
fn a_column_of_csv_is_a_number_only_where_nothing_is_lost() {
    let text = "id,zip,phone,price,ok,big,huge,mix,empty,na\n1,007,+49171,1.50,true,9223372036854775807,18446744073709551616,1,,NA\n-2,123,0171,2,False,18446744073709551615,1,x,,\n";
    let expected = vec![
        json!({"id": 1, "zip": "007", "phone": "+49171", "price": 1.5, "ok": true, "big": 9223372036854775807_u64,
            "huge": "18446744073709551616", "mix": "1", "empty": null, "na": "NA"}),
        json!({"id": -2, "zip": "123", "phone": "0171", "price": 2.0, "ok": false, "big": 18446744073709551615_u64, "huge": "1",
            "mix": "x", "empty": null, "na": null}),
    ];
    assert_eq!(rows("a.csv", text), expected);
    let texts = load(&file("a.csv", "a,b\n1,\n\"\",x\n"), DataOptions::new().with_infer_types(false)).unwrap();
    assert_eq!(texts, [json!({"a": "1", "b": null}), json!({"a": "", "b": "x"})]);
    // The type is that of the whole file.
    let long: String = (0..30_000).map(|row| format!("{row}\n")).collect();
    let found = rows("a.csv", format!("a\n{long}x\n"));
    assert_eq!((found.len(), &found[0]["a"], &found[30_000]["a"]), (30_001, &json!("0"), &json!("x")));
    assert_eq!(rows("a.csv", ",a\n0,x\n"), [json!({"Unnamed: 0": 0, "a": "x"})]);
    refused(load(&file("a.csv", "a,b\n1,2\n\n3\n"), DataOptions::new()), &["a.csv:4", "1 cells, the header 2"]);
    refused(load(&file("a.csv", "a,b\n1,\"2\n3,4\n"), DataOptions::new()), &["a.csv:2", "never closed"]);
    refused(load(&file("a.csv", "a,b,a\n1,2,3\n"), DataOptions::new()), &["a.csv:1", "`a`"]);
    refused(load(&file("a.csv", b"a\nx\n\xff\n"), DataOptions::new()), &["a.csv:3", "column 1", "windows-1252"]);
    refused(load(&file("a.csv", "a,b\n"), DataOptions::new()), &["no rows"]);
}

#[test]
fn text_is_a_line_a_paragraph_or_a_document() {
    let text = "one\r\n\r\ntwo\nmore\n\n\nthree\n";
    let by = |by: SampleBy| {
        let rows = load(&file("a.txt", text), DataOptions::new().with_sample_by(by)).unwrap();
        rows.iter().map(|row| row["text"].as_str().unwrap().to_string()).collect::<Vec<_>>()
    };
    // What `load_dataset("text", sample_by=…)` gives.
    assert_eq!(by(SampleBy::Line), ["one", "", "two", "more", "", "", "three"]);
    assert_eq!(by(SampleBy::Paragraph), ["one", "two\nmore", "\nthree\n"]);
    assert_eq!(by(SampleBy::Document), ["one\n\ntwo\nmore\n\n\nthree\n"]);
    assert_eq!(rows("README.md", "# a\rb"), [json!({"text": "# a"}), json!({"text": "b"})]);
    refused(load(&file("a.txt", b"ok\n\xe4\n"), DataOptions::new()), &["a.txt:2", "column 1"]);
}

#[test]
fn parquet_of_all_codecs_keeps_its_types() {
    let expected = vec![
        json!({"text": "a", "large": i64::MAX, "unsigned": u64::MAX, "small": -128, "single": 0.1, "double": 0.1, "truth": true,
            "list": ["x", null], "messages": [{"role": "user", "content": "hi"}], "nested": {"a": [1, 2], "b": {"c": "d"}},
            "date": "2024-02-29", "time": "2024-02-29 12:30:01.500000", "decimal": "1.50", "bytes": "plain", "kind": "a"}),
        json!({"text": null, "large": i64::MIN, "unsigned": 0, "small": 127, "single": 1.5, "double": 1e300, "truth": null, "list": [],
            "messages": [{"role": "assistant", "content": null}], "nested": {"a": null, "b": null}, "date": null, "time": null,
            "decimal": "-0.05", "bytes": null, "kind": "b"}),
        json!({"text": "ä\n", "large": null, "unsigned": null, "small": null, "single": null, "double": null, "truth": false, "list": null,
            "messages": [], "nested": null, "date": "1969-12-31", "time": null, "decimal": null, "bytes": "ö", "kind": "a"}),
    ];
    for codec in ["none", "snappy", "gzip", "brotli", "lz4", "zstd"] {
        let path = fixture(&format!("files/{codec}.parquet"));
        let found = load(&path, DataOptions::new()).unwrap();
        for (found, expected) in found.iter().zip(&expected) {
            for (name, value) in expected.as_object().unwrap() {
                assert_eq!(&found[name], value, "{codec}: {name}");
            }
        }
        assert_eq!(found, expected, "{codec}");
        assert_eq!(rows("x.jsonl", std::fs::read(&path).unwrap()), expected, "by its content");
    }
    let binary = fixture("files/binary.parquet");
    refused(load(&binary, DataOptions::new()), &["binary.parquet`, row 2", "column `image`", "DataOptions::with_columns"]);
    refused(load(&binary, DataOptions::new().with_columns(["number"])), &["row 2", "column `number`", "NaN"]);
    assert_eq!(load(&binary, DataOptions::new().with_columns(["text"])).unwrap(), [json!({"text": "a"}), json!({"text": "b"})]);
    refused(load(&binary, DataOptions::new().with_columns(["txt"])), &["no column `txt`", "`text`, `image`, `number`"]);
    let bad = BadRows::new();
    assert_eq!(load(&binary, DataOptions::new().with_on_error(OnError::Collect(bad.clone()))).unwrap().len(), 1);
    assert_eq!(bad.list()[0].line, 2);
    refused(load(&file("a.parquet", b"PAR1 nothing PAR1"), DataOptions::new()), &["a.parquet"]);
}

#[test]
fn what_holds_no_rows_is_refused_with_what_to_type() {
    for (name, bytes, parts) in [
        ("a.ods", &b"PK\x03\x04..."[..], &["a spreadsheet", "CSV"][..]),
        ("a.csv", b"PK\x03\x04...", &["a zip archive", "unzip"]),
        ("a.xls", b"\xd0\xcf\x11\xe0...", &["Office", "CSV"]),
        ("a.pdf", b"%PDF-1.7", &["a PDF", "pdftotext"]),
        ("a.txt", b"%PDF-1.7", &["a PDF", "pdftotext"]),
        ("a.docx", b"PK\x03\x04...", &["a text document", "pandoc"]),
        ("a.zip", b"PK\x03\x04...", &["unzip"]),
        ("a.7z", b"7z\xbc\xaf\x27\x1c", &["7z x"]),
        ("a.arrow", b"ARROW1\0\0", &["an Arrow file", "to_json"]),
        ("a.jsonl.bz2", b"BZh9", &["bunzip2"]),
        ("a.sqlite", b"SQLite format 3\0", &["a database", "sqlite3"]),
        ("a.pkl", b"\x80\x04", &["pickle"]),
        ("a.jsonl", b"version https://git-lfs.github.com/spec/v1\noid sha256:1", &["git lfs pull"]),
        ("a.jsonl", b"<!DOCTYPE html><html>", &["a web page", "raw"]),
        ("a.dat", b"hello", &["neither the name nor the content", "DataOptions::with_format"]),
        ("a.jsonl", b"{\0\"\0a\0", &["UTF-16", "iconv"]),
        ("a.txt", b"h\0i\0 \0\xe4\0\n\0", &["UTF-16", "iconv -f utf-16le"]),
        ("a.csv", b"\0a\0,\0b\0\n\x26\x3a\0,\0c", &["UTF-16", "iconv -f utf-16be"]),
        ("a.md", b"#\0 \0", &["UTF-16"]),
        ("a.jsonl", b"\xff\xfe\0\0{\0\0\0", &["UTF-32", "iconv"]),
    ] {
        refused(load(&file(name, bytes), DataOptions::new()), parts);
    }
    refused(ExampleStream::open(fresh_folder()), &["directory"]);
}

#[test]
fn memory_does_not_grow_with_rows() {
    let folder = fresh_folder();
    let peak = |count: usize, name: &str| {
        let path = folder.join(format!("{count}.{name}"));
        let row = |row: usize| match name {
            "jsonl" => format!("{{\"question\": \"how many is {row}?\", \"answer\": {row}}}\n"),
            "json" => format!("{}{{\"question\": \"how many is {row}?\", \"answer\": {row}}}", if row == 0 { "[" } else { ",\n" }),
            "csv" => format!("{}how many is {row}?,{row}\n", if row == 0 { "question,answer\n" } else { "" }),
            _ => format!("how many is {row}?\n"),
        };
        let text: String = (0..count).map(row).collect();
        std::fs::write(&path, text + if name == "json" { "]" } else { "" }).unwrap();
        let output = harness("count-rows").arg(&path).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let mut words = text.split_whitespace().map(|word| word.parse::<usize>().unwrap());
        assert_eq!(words.next(), Some(count), "{name}");
        words.next().unwrap()
    };
    for name in ["jsonl", "json", "csv", "txt"] {
        // The blocks have their full size from about two hundred thousand rows on.
        let (few, many) = (peak(300_000, name), peak(900_000, name));
        assert!(many < few + (24 << 20) && many < 500_000_000, "{name}: {few} and {many} bytes");
    }
}

#[test]
fn a_sheet_of_excel_keeps_its_types() {
    let path = fixture("files/workbook.xlsx");
    let expected = vec![
        json!({"question": "What is ö?", "answer": "a letter\nof German", "score": 0.5, "count": 3, "good": true, "day": "2024-02-29", "note": null}),
        json!({"question": "007", "answer": null, "score": -2, "count": 1e300, "good": false, "day": "2024-02-29T12:30:01", "note": "x"}),
    ];
    assert_eq!(load(&path, DataOptions::new()).unwrap(), expected);
    // Another sheet by its name; a formula that failed and a cell without a name are errors with their places.
    let other = || DataOptions::new().with_field("Other");
    refused(load(&path, other()), &["workbook.xlsx, sheet `Other`, row 3", "cell B", "#N/A"]);
    let bad = BadRows::new();
    assert_eq!(load(&path, other().with_on_error(OnError::Collect(bad.clone()))).unwrap(), [json!({"text": "one", "bad": null})]);
    assert_eq!(bad.list().iter().map(|row| row.line).collect::<Vec<_>>(), [3, 4]);
    assert!(bad.list()[1].reason.contains("the cell D"), "{bad:?}");
    refused(load(&path, DataOptions::new().with_field("Third")), &["no sheet `Third`", "`Questions`, `Other`"]);
    // Damaged, cut off, no workbook at all, packed once more.
    let bytes = std::fs::read(&path).unwrap();
    for size in [0, 3, 100, bytes.len() / 2, bytes.len() - 1] {
        assert!(load(&file("cut.xlsx", &bytes[..size]), DataOptions::new()).is_err(), "{size} bytes");
    }
    refused(load(&file("text.xlsx", "a,b\n1,2\n"), DataOptions::new()), &["text.xlsx", "no workbook"]);
    assert_eq!(load(&file("A.XLSX", &bytes), DataOptions::new()).unwrap(), expected);
}
