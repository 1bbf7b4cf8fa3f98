//! What is written is read again: the same rows, the same types, in every format that can hold them.

use finetuning::*;
use serde_json::{Value, json};

use crate::support::hub::Hub;
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

    /// A type of a column.
    fn kind(&mut self, depth: usize) -> Kind {
        match self.roll(if depth == 0 { 6 } else { 9 }) {
            0 => Kind::Null,
            1 => Kind::Bool,
            2 => Kind::Signed,
            3 => Kind::Unsigned,
            4 => Kind::Real,
            5 => Kind::Text,
            6 | 7 => Kind::List(Box::new(self.kind(depth - 1))),
            _ => Kind::Object((0..1 + self.roll(3)).map(|at| (format!("{}{at}", self.text()), self.kind(depth - 1))).collect()),
        }
    }

    /// A value of a type; each may be null.
    fn of(&mut self, kind: &Kind) -> Value {
        if self.roll(5) == 0 {
            return Value::Null;
        }
        match kind {
            Kind::Null => Value::Null,
            Kind::Bool => json!(self.roll(2) == 0),
            Kind::Signed => [json!(i64::MIN), json!(i64::MAX), json!(self.roll(9) as i64 - 4)][self.roll(3)].clone(),
            Kind::Unsigned => [json!(u64::MAX), json!(self.roll(9))][self.roll(2)].clone(),
            Kind::Real => [json!(-0.0), json!(5e-324), json!(1e300), json!(self.roll(1000) as f64 / 7.0)][self.roll(4)].clone(),
            Kind::Text => json!(self.text()),
            Kind::List(kind) => (0..self.roll(4)).map(|_| self.of(kind)).collect(),
            Kind::Object(fields) => Value::Object(fields.iter().map(|(name, kind)| (name.clone(), self.of(kind))).collect()),
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

enum Kind {
    Null,
    Bool,
    Signed,
    Unsigned,
    Real,
    Text,
    List(Box<Kind>),
    Object(Vec<(String, Kind)>),
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
        for name in ["rows.jsonl", "rows.json", "rows.jsonl.gz", "ROWS.JSON.GZ", "rows.ndjson", "rows.jsonl.zst", "rows.json.zstd"] {
            let path = folder.join(name);
            data.save(&path).unwrap();
            let back = load_dataset(path.to_str().unwrap()).unwrap();
            assert_eq!(back, data, "case {case}, {name}");
            assert!(back.iter().zip(&data).all(|(a, b)| a.names() == b.names()), "the order of fields: {name}");
        }
        for name in ["other.jsonl", "other.jsonl.gz", "other.jsonl.zst"] {
            data.to_jsonl(folder.join(name)).unwrap();
            assert_eq!(Dataset::from_jsonl(folder.join(name)).unwrap(), data);
            let packed = std::fs::read(folder.join(name)).unwrap()[0] != b'{';
            assert_eq!(packed, name != "other.jsonl", "{name}");
        }
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
        for name in ["rows.csv", "rows.tsv", "rows.csv.gz", "rows.tsv.zst"] {
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
fn columns_of_all_types_come_back_from_parquet() {
    let mut dice = Dice(4);
    let path = fresh_folder().join("rows.parquet");
    let (mut null, mut empty, mut deep) = (0, 0, 0);
    for case in 0..300 {
        let columns: Vec<(String, Kind)> = (0..1 + dice.roll(5)).map(|at| (format!("{}{at}", dice.text()), dice.kind(4))).collect();
        let row = |dice: &mut Dice| Example::new(columns.iter().map(|(name, kind)| (name.clone(), dice.of(kind))).collect::<Vec<_>>());
        let data = Dataset::from_examples((0..1 + dice.roll(30)).map(|_| row(&mut dice)).collect());
        data.save(&path).unwrap();
        let back = load_dataset(path.to_str().unwrap()).unwrap();
        assert_eq!(back, data, "case {case}");
        assert!(back.iter().zip(&data).all(|(one, other)| one.names() == other.names()), "the order of fields: case {case}");
        let text = data.iter().map(|row| json!(row.fields()).to_string()).collect::<String>();
        (null, empty, deep) = (null + text.matches("null").count(), empty + text.matches("[]").count(), deep + text.matches("[[").count());
    }
    assert!(null > 1000 && empty > 300 && deep > 300, "{null} {empty} {deep}");
    // More rows than a group has, and texts beyond a page.
    let many =
        (0..250_000).map(|row| Example::new([("row", json!(row)), ("odd", if row % 2 == 0 { Value::Null } else { json!([row, null]) })]));
    let large = (0..40).map(|row| Example::new([("text", "é".repeat(row * 50_000))]));
    for data in [Dataset::from_examples(many.collect()), Dataset::from_examples(large.collect())] {
        data.to_parquet(&path).unwrap();
        assert!(load_dataset(path.to_str().unwrap()).unwrap() == data, "{data}");
    }
}

#[test]
fn what_parquet_cannot_hold_is_named() {
    let path = fresh_folder().join("rows.parquet");
    let data = |values: Value| {
        Dataset::from_examples(values.as_array().unwrap().iter().map(|value| Example::new([("a", value.clone())])).collect())
    };
    for (values, parts) in [
        (json!([1, null, "x"]), &["column `a`, row 2", "a text stands beside whole numbers", "to_jsonl"][..]),
        (json!([[1], ["x"]]), &["row 1", "a text stands beside whole numbers"]),
        (json!([1, 0.5]), &["row 1", "whole numbers stand beside numbers with a point", "`map`"]),
        (json!([u64::MAX, -1]), &["row 1", "no type of 64 bits"]),
        (json!([null, {}]), &["row 1", "an object without a field"]),
        (json!([{ "k": [{ "l": 1 }] }, { "k": [{ "l": true }] }]), &["row 1", "field `k`: field `l`: a truth value stands beside"]),
        (json!([true, [true]]), &["row 1", "a list stands beside truth values"]),
    ] {
        refused(data(values).save(&path), parts);
        assert!(!path.exists(), "nothing is begun");
    }
    let names = |row: usize| json!((0..600).map(|name| (format!("{row} {name}"), json!(1))).collect::<serde_json::Map<_, _>>());
    refused(data(json!([names(1), names(2)])).save(&path), &["row 1", "more than 1000 different names"]);
    refused(Dataset::from_examples(vec![Example::default()]).save(&path), &["row 0", "without a field"]);
    // What a row or an object lacks is null, as in Python.
    let rows = Dataset::from_examples(vec![
        Example::new([("m", json!([{ "role": "user", "content": "x" }, { "role": "assistant", "content": "", "call": [1] }]))]),
        Example::new([("n", json!(1))]),
    ]);
    rows.save(&path).unwrap();
    let back = load_dataset(path.to_str().unwrap()).unwrap();
    let turns = json!([{ "role": "user", "content": "x", "call": null }, { "role": "assistant", "content": "", "call": [1] }]);
    assert_eq!(back.get(0).unwrap(), &Example::new([("m", turns), ("n", Value::Null)]));
    assert_eq!(back.get(1).unwrap(), &Example::new([("m", Value::Null), ("n", json!(1))]));
    refused(rows.save("/no/such/folder/rows.parquet"), &["/no/such/folder/rows.parquet"]);
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
    refused(
        one(json!("b")).map(|row| Ok(Example::new([("a", json!("a")), ("b", row.value("b").unwrap().clone())]))).unwrap().to_csv(&path),
        &["row 0", "second header"],
    );
    refused(one(json!(1)).save(fresh_folder().join("rows.xlsx")), &["`.xlsx`", ".jsonl"]);
    refused(one(json!(1)).save(fresh_folder().join("rows.zst")), &["`.zst`", ".jsonl"]);
    refused(one(json!(1)).save(fresh_folder().join("rows.parquet.gz")), &["packed by itself"]);
    refused(one(json!(1)).save("/no/such/folder/rows.json"), &["/no/such/folder/rows.json"]);
}

#[test]
fn published_rows_come_back_with_their_types() {
    let hub = Hub::start();
    let (endpoint, cache_dir, token) = (Some(hub.address.clone()), Some(fresh_folder()), Some("write".to_string()));
    let options = PushOptions { hub: HubOptions { endpoint, cache_dir, token, ..Default::default() }, ..Default::default() };
    let mut dice = Dice(3);
    let rows = (0..50).map(|row| Example::new([("row", json!(row)), ("value", dice.value(3)), ("ä b", dice.value(2))]));
    let data = Dataset::from_examples(rows.collect());
    data.push_to_hub("course/rows", &options).unwrap();
    assert_eq!(load_dataset_with("course/rows", &options.hub).unwrap(), data);
    assert_eq!(dataset_splits("course/rows", &options.hub).unwrap(), [("train".to_string(), vec!["data/train.jsonl".to_string()])]);
}
