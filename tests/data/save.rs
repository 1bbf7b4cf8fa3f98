//! What is written is read again: the same rows, the same types, in every format that can hold them.

use finetuning::*;
use serde_json::{Value, json};

use crate::support::{fresh_folder, refused};

/// Numbers that look random, the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % sides
    }

    fn text(&mut self) -> String {
        const PIECES: [&str; 14] = ["a", "ä", "😀", "\n", "\"", ",", ";", "\t", "\\", " ", "7", "\r\n", "\u{1}", "null"];
        (0..self.roll(6)).map(|_| PIECES[self.roll(PIECES.len())]).collect()
    }

    fn number(&mut self) -> Value {
        match self.roll(5) {
            0 => json!(u64::MAX - self.roll(9) as u64),
            1 => json!(i64::MIN + self.roll(9) as i64),
            2 => json!(self.roll(1000) as f64 / 7.0),
            3 => json!(self.roll(9) as f64),
            _ => json!(self.roll(9) as i64 - 4),
        }
    }

    fn value(&mut self, depth: usize) -> Value {
        match self.roll(if depth == 0 { 5 } else { 7 }) {
            0 => Value::Null,
            1 => json!(self.roll(2) == 0),
            2 => self.number(),
            3 | 4 => json!(self.text()),
            5 => (0..self.roll(4)).map(|_| self.value(depth - 1)).collect(),
            _ => Value::Object((0..self.roll(4)).map(|index| (format!("{}{index}", self.text()), self.value(depth - 1))).collect()),
        }
    }
}

#[test]
fn rows_of_all_types_come_back_from_json() {
    let mut dice = Dice(1);
    for case in 0..60 {
        let rows: Vec<Example> = (0..1 + dice.roll(20))
            .map(|_| {
                Example::new((0..1 + dice.roll(5)).map(|field| (format!("{}{field}", dice.text()), dice.value(3))).collect::<Vec<_>>())
            })
            .collect();
        let data = Dataset::from_examples(rows);
        let folder = fresh_folder();
        for name in ["rows.jsonl", "rows.json", "rows.jsonl.gz", "ROWS.JSON.GZ", "rows.ndjson"] {
            let path = folder.join(name);
            data.save(&path).unwrap();
            let back = load_dataset(path.to_str().unwrap()).unwrap();
            assert_eq!(back, data, "case {case}, {name}");
            assert!(back.iter().zip(&data).all(|(a, b)| a.names() == b.names()), "the order of fields: {name}");
        }
        data.to_jsonl(folder.join("rows.jsonl")).unwrap();
        assert_eq!(Dataset::from_jsonl(folder.join("rows.jsonl")).unwrap(), data);
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[test]
fn rows_come_back_from_csv_or_are_refused() {
    let mut dice = Dice(2);
    let (mut written, mut refusals) = (0, 0);
    for case in 0..400 {
        let columns: Vec<usize> = (0..1 + dice.roll(4)).map(|_| dice.roll(6)).collect();
        let cell = |dice: &mut Dice, kind: usize| match kind {
            _ if dice.roll(8) == 0 => Value::Null,
            0 => json!(dice.roll(99)),
            1 => json!(dice.roll(999) as f64 / 8.0),
            2 => json!(dice.roll(2) == 0),
            3 => dice.number(),
            4 => dice.value(1),
            _ => json!(dice.text()),
        };
        let row = |dice: &mut Dice| {
            Example::new(columns.iter().enumerate().map(|(at, kind)| (format!("c{at}"), cell(dice, *kind))).collect::<Vec<_>>())
        };
        let data = Dataset::from_examples((0..1 + dice.roll(6)).map(|_| row(&mut dice)).collect());
        let folder = fresh_folder();
        for name in ["rows.csv", "rows.tsv", "rows.csv.gz"] {
            let path = folder.join(name);
            match data.save(&path) {
                Ok(()) => {
                    written += 1;
                    assert_eq!(
                        load_dataset(path.to_str().unwrap()).unwrap(),
                        data,
                        "case {case}, {name}: {}",
                        std::fs::read_to_string(&path).unwrap_or_default()
                    );
                }
                Err(error) => {
                    refusals += 1;
                    assert!(error.to_string().contains("column `c") && error.to_string().contains("to_jsonl"), "{error}");
                    assert!(!path.exists(), "nothing is begun");
                }
            }
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
    assert!(written > 200 && refusals > 100, "{written} {refusals}");
}

#[test]
fn what_a_format_cannot_hold_is_named() {
    let path = fresh_folder().join("rows.csv");
    let one = |value: Value| Dataset::from_examples(vec![Example::new([("a", json!("x")), ("b", value)])]);
    refused(one(json!([1])).to_csv(&path), &["column `b`, row 0", "a list", "to_jsonl"]);
    refused(one(json!({"c": 1})).to_csv(&path), &["column `b`", "an object"]);
    refused(one(json!("7")).to_csv(&path), &["column `b`", "a text would be read back as a number"]);
    one(json!("007")).to_csv(&path).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "a,b\nx,007\n");
    refused(one(json!([1])).to_csv(&path), &["column `b`"]);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "a,b\nx,007\n", "the old file stays");
    refused(one(json!(1)).save(fresh_folder().join("rows.xlsx")), &["`.xlsx`", ".jsonl"]);
    refused(one(json!(1)).save(fresh_folder().join("rows.jsonl.zst")), &["`.zst`"]);
    refused(one(json!(1)).save("/no/such/folder/rows.json"), &["/no/such/folder/rows.json"]);
}
