//! Small files that ask for much: memory and time stay bounded, and what is refused says why.

use std::path::Path;
use std::process::Command;

use finetuning::border::limits::ROW_VALUES;
use finetuning::*;

use crate::process::harness;
use crate::support::workbook::{workbook, workbook_of};
use crate::support::{fresh_folder, grows_evenly, refused, time};

/// Kilobytes of addresses for a process that loads rows.
const ADDRESSES: u64 = 1_500_000;

/// What a process with little memory says of a file.
fn loaded_in_little(path: &Path) -> String {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -c 0; ulimit -v {ADDRESSES}; exec \"$0\" load-rows \"$1\"")]);
    let output = command.arg(harness("load-rows").get_program()).arg(path).env("RAYON_NUM_THREADS", "2").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_small_packed_file_does_not_fill_the_memory() {
    let folder = fresh_folder();
    let rows = (0..20_000).map(|_| Example::new([("question", "What is it?"), ("answer", "A thing.")]));
    for name in ["jsonl", "csv", "json"] {
        let path = folder.join(format!("rows.{name}.gz"));
        Dataset::from_examples(rows.clone().collect()).save(&path).unwrap();
        let part = std::fs::read(&path).unwrap();
        if name == "jsonl" {
            // Parts of gzip are one file: 20 million rows in some megabytes.
            std::fs::write(&path, part.repeat(1000)).unwrap();
            let said = loaded_in_little(&path);
            assert!(said.contains("rows.jsonl.gz") && said.contains("little memory left") && said.contains("stream_dataset"), "{said}");
        } else {
            assert_eq!(loaded_in_little(&path), "20000 rows\n");
        }
    }
}

#[test]
fn a_sheet_of_few_cells_does_not_fill_the_memory() {
    let letters = |mut column: usize| {
        let mut name = String::new();
        loop {
            name.insert(0, char::from(b'A' + (column % 26) as u8));
            match column / 26 {
                0 => return name,
                next => column = next - 1,
            }
        }
    };
    let head: String =
        (0..16_384).map(|column| format!("<c r=\"{}1\" t=\"inlineStr\"><is><t>c{column}</t></is></c>", letters(column))).collect();
    let rows: String = (2..20_000).map(|row| format!("<row r=\"{row}\"><c r=\"A{row}\"><v>1</v></c></row>")).collect();
    let path = fresh_folder().join("wide.xlsx");
    std::fs::write(&path, workbook(&format!("<row r=\"1\">{head}</row>{rows}"))).unwrap();
    let said = loaded_in_little(&path);
    assert!(said.contains("wide.xlsx, sheet `S`") && said.contains("little memory left"), "{said}");
}

#[test]
fn a_row_has_so_many_values() {
    let path = fresh_folder().join("rows.jsonl");
    let row = |values: usize| format!("{{\"a\":[{}1]}}\n", "1,".repeat(values - 2));
    std::fs::write(&path, row(ROW_VALUES + 1)).unwrap();
    refused(Dataset::from_jsonl(&path), &["rows.jsonl:1", "field `a[", "more than 8388608 values"]);
    std::fs::write(&path, row(ROW_VALUES)).unwrap();
    assert_eq!(Dataset::from_jsonl(&path).unwrap().len(), 1);
}

#[test]
fn many_columns_take_no_more_than_their_number() {
    let folder = fresh_folder();
    grows_evenly("a header of CSV", 1_000, |count| {
        let path = folder.join("a.csv");
        let names: Vec<String> = (0..count).map(|column| format!("column{column:06}")).collect();
        std::fs::write(&path, format!("{}\n{}\n", names.join(","), vec!["1"; count].join(","))).unwrap();
        time(|| load_dataset(path.to_str().unwrap()).unwrap())
    });
    grows_evenly("a row of many fields", 1_000, |count| {
        let fields: Vec<(String, usize)> = (0..count).map(|field| (format!("field{field:06}"), field)).collect();
        time(|| Example::new(fields))
    });
    grows_evenly("a column of its own in each row", 1_000, |count| {
        let rows = (0..count).map(|row| Example::new([(format!("field{row:06}"), 1)])).collect();
        let data = Dataset::from_examples(rows);
        time(|| data.columns())
    });
}

#[test]
fn many_files_and_a_card_that_lists_them_take_no_more_than_their_number() {
    let folder = fresh_folder();
    let listed = |count: usize| {
        let folder = folder.join(count.to_string());
        std::fs::create_dir_all(folder.join("d")).unwrap();
        let names: Vec<String> = (0..count).map(|file| format!("d/file{file:06}.txt")).collect();
        names.iter().for_each(|name| std::fs::write(folder.join(name), "a\n").unwrap());
        (folder, names)
    };
    let splits = |folder: &Path| time(|| dataset_splits(folder.to_str().unwrap(), DataOptions::new()).unwrap());
    grows_evenly("a folder", 100, |count| splits(&listed(count).0));
    grows_evenly("a card that lists files", 50, |count| {
        let (folder, names) = listed(count);
        let paths: String = names.iter().map(|name| format!("    - {name}\n")).collect();
        let card = format!("---\nconfigs:\n- config_name: a\n  data_files:\n  - split: train\n    path:\n{paths}---\n");
        std::fs::write(folder.join("README.md"), card).unwrap();
        splits(&folder)
    });
    grows_evenly("a card of many keys", 500, |count| {
        let folder = folder.join("keys");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("a.txt"), "a\n").unwrap();
        let keys: String = (0..count).map(|key| format!("  key{key:06}: 1\n")).collect();
        std::fs::write(folder.join("README.md"), format!("---\nconfigs:\n- config_name: a\n{keys}---\n")).unwrap();
        splits(&folder)
    });
}

#[test]
fn a_workbook_that_announces_texts_gets_no_memory_for_them() {
    let texts = "<sst xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\" count=\"4294967295\" uniqueCount=\"4294967295\"><si><t>question</t></si></sst>";
    let rows = "<row r=\"1\"><c r=\"A1\" t=\"s\"><v>0</v></c></row><row r=\"2\"><c r=\"A2\" t=\"s\"><v>0</v></c></row>";
    let path = fresh_folder().join("texts.xlsx");
    std::fs::write(&path, workbook_of(rows, Some(texts))).unwrap();
    refused(load_dataset(path.to_str().unwrap()), &["texts.xlsx` announces 4294967295 texts in"]);
    std::fs::write(&path, workbook_of(rows, Some(&texts.replace("4294967295", "1")))).unwrap();
    assert_eq!(load_dataset(path.to_str().unwrap()).unwrap().get(0).unwrap()["question"], *"question");
}
