//! Operations on data sets beside Python's `datasets`, by `fixtures/datasets.json`, and the table of polars.

use finetuning::polars::prelude::{DataFrame, DataType, IntoColumn, NamedFrom, Series};
use finetuning::*;
use serde_json::{Value, json};

use crate::support::{json as fixture, refused};

fn data(rows: Value) -> Dataset {
    let row = |row: &Value| Example::new(row.as_object().unwrap().clone());
    Dataset::from_examples(rows.as_array().unwrap().iter().map(row).collect())
}

/// The rows of a column as JSON.
fn values(data: &Dataset, column: &str) -> Value {
    data.iter().map(|row| row.value(column).cloned().unwrap_or_default()).collect()
}

/// Rows with a number each, and one value.
fn numbered(values: &Value) -> Dataset {
    let row = |(row, value): (usize, &Value)| Example::new([("value", value.clone()), ("row", row.into())]);
    Dataset::from_examples(values.as_array().unwrap().iter().enumerate().map(row).collect())
}

#[test]
fn orders_are_those_of_datasets() {
    let file = fixture("datasets.json");
    for case in file["shuffle"].as_array().unwrap() {
        let rows = numbered(&json!(vec![0; case["rows"].as_u64().unwrap() as usize]));
        assert_eq!(values(&rows.shuffle(case["seed"].as_u64().unwrap()), "row"), case["order"]);
    }
    let sorted = file["sort"].as_array().unwrap();
    assert_eq!(sorted.len(), 8);
    for case in sorted {
        let rows = numbered(&case["values"]).sort("value", case["reverse"].as_bool().unwrap()).unwrap();
        assert_eq!(values(&rows, "row"), case["rows"], "{} {}", case["name"], case["reverse"]);
    }
    let columns = ["a", "b", "c"].map(|name| (name, file["several"][name].as_array().unwrap()));
    let several =
        (0..9).map(|row| Example::new(columns.iter().map(|(name, values)| (*name, values[row].clone())).chain([("row", row.into())])));
    let several = Dataset::from_examples(several.collect());
    let cases = file["sort_by_several"].as_array().unwrap();
    assert_eq!(cases.len(), 18);
    for case in cases {
        let (names, reverse) = (case["columns"].as_array().unwrap(), case["reverse"].as_array().unwrap());
        let keys: Vec<(&str, bool)> =
            names.iter().zip(reverse).map(|(name, reverse)| (name.as_str().unwrap(), reverse.as_bool().unwrap())).collect();
        assert_eq!(values(&several.sort_by_columns(&keys).unwrap(), "row"), case["rows"], "{keys:?}");
    }
    for case in file["unique"].as_array().unwrap() {
        assert_eq!(Value::Array(numbered(&case["values"]).unique("value").unwrap()), case["unique"]);
    }
}

#[test]
fn data_sets_take_turns_as_in_datasets() {
    let file = fixture("datasets.json");
    let cases = file["interleave"].as_array().unwrap();
    assert!(cases.len() > 70);
    for case in cases {
        let source = |(index, length): (usize, &Value)| {
            let rows = (0..length.as_u64().unwrap()).map(|row| Example::new([("row", json!([index, row]))]));
            Dataset::from_examples(rows.collect())
        };
        let sources: Vec<Dataset> = case["lengths"].as_array().unwrap().iter().enumerate().map(source).collect();
        let probabilities: Option<Vec<f64>> =
            case["probabilities"].as_array().map(|all| all.iter().map(|probability| probability.as_f64().unwrap()).collect());
        let strategy = match case["strategy"].as_str().unwrap() {
            "first_exhausted" => StoppingStrategy::FirstExhausted,
            "all_exhausted" => StoppingStrategy::AllExhausted,
            _ => StoppingStrategy::AllExhaustedWithoutReplacement,
        };
        let made = interleave_datasets(&sources, probabilities.as_deref(), case["seed"].as_u64().unwrap(), strategy).unwrap();
        let about = format!("{} {} {}", case["lengths"], case["probabilities"], case["strategy"]);
        assert_eq!(values(&made, "row"), case["rows"], "{about}");
    }
}

#[test]
fn what_has_no_end_or_no_rows_takes_no_turns() {
    let (one, none) = (data(json!([{ "a": 1 }])), Dataset::default());
    let mix = |sources: &[&Dataset], probabilities: &[f64], strategy| {
        interleave_datasets(sources.iter().copied(), Some(probabilities), 0, strategy)
    };
    let first = StoppingStrategy::FirstExhausted;
    refused(interleave_datasets([], None, 0, first), &["no data set"]);
    refused(interleave_datasets([&one, &none], None, 0, first), &["data set 1", "no rows"]);
    refused(mix(&[&one, &none], &[0.5, 0.5], first), &["data set 1", "no rows"]);
    assert_eq!(mix(&[&one, &none], &[1.0, 0.0], first).unwrap().len(), 1);
    refused(mix(&[&one, &one], &[1.0], first), &["1 probabilities for 2 data sets"]);
    for bad in [[0.5, 0.6], [-0.5, 1.5], [f64::NAN, 1.0], [0.0, 0.0]] {
        refused(mix(&[&one, &one], &bad, first), &["add up to"]);
    }
    for strategy in [StoppingStrategy::AllExhausted, StoppingStrategy::AllExhaustedWithoutReplacement] {
        refused(mix(&[&one, &one], &[1.0, 0.0], strategy), &["data set 1", "probability 0"]);
        refused(mix(&[&one, &one], &[1.0 - 1e-12, 1e-12], strategy), &["rows would have to be drawn"]);
    }
    refused(interleave_datasets([&one, &data(json!([{ "a": "1" }]))], None, 0, first), &["column `a`", "a number", "a text"]);
}

#[test]
fn rows_go_through_closures() {
    let all = data(json!([{ "a": "x", "n": 1 }, { "a": "y", "n": 2 }, { "a": "xy", "n": null }]));
    let longer = all
        .map(|row| {
            let mut row = row.clone();
            row.set("n", row.value("n").and_then(Value::as_i64).unwrap_or_default() * 10);
            Ok(row)
        })
        .unwrap();
    assert_eq!((values(&longer, "n"), values(&all, "n")), (json!([10, 20, 0]), json!([1, 2, null])));
    let error = all.map(|row| row.text("n").map(|_| row.clone())).unwrap_err();
    assert_eq!(error.row(), Some(2));
    assert!(error.to_string().starts_with("row 2: column `n` is null"), "{error}");
    assert_eq!(values(&all.filter(|row| row.get("a") == Some("y")), "n"), json!([2]));
    assert_eq!(values(&all.containing("a", "x"), "a"), json!(["x", "xy"]));
    assert_eq!(all.containing("n", "1").len() + all.containing("none", "").len(), 0);
    assert_eq!((all.take(2).len(), all.take(9).len(), values(&all.skip(2), "a"), all.skip(9).len()), (2, 3, json!(["xy"]), 0));
    assert_eq!(values(&all.add_item(Example::new([("a", "z")])), "a"), json!(["x", "y", "xy", "z"]));
}

#[test]
fn columns_are_never_lost_in_silence() {
    let all = data(json!([{ "a": "x", "b": 1 }, { "a": "y", "c": [1] }]));
    refused(all.rename_column("a", "b"), &["column `b` is there already, in row 0"]);
    refused(all.rename_column("a", "c"), &["column `c` is there already, in row 1"]);
    refused(all.rename_column("a", "a"), &["there already"]);
    refused(all.rename_column("a", ""), &["no name"]);
    refused(all.rename_column("d", "e"), &["column `d` does not exist", "`a`, `b`, `c`"]);
    let renamed = all.rename_column("b", "d").unwrap();
    assert_eq!(renamed, data(json!([{ "a": "x", "d": 1 }, { "a": "y", "c": [1] }])));
    refused(all.remove_columns(&["a", "d"]), &["column `d` does not exist"]);
    assert_eq!(all.remove_columns(&["a", "c"]).unwrap(), data(json!([{ "b": 1 }, {}])));
    refused(all.select_columns(&["B"]), &["column `B` does not exist"]);
    assert_eq!(all.select_columns(&["b", "a"]).unwrap().get(0).unwrap().names(), ["b", "a"]);
    refused(all.add_column("c", [1, 2]), &["column `c` is there already"]);
    refused(all.add_column("d", [1]), &["1 values", "2 rows"]);
    let added = all.add_column("d", [json!(null), json!({ "k": [true] })]).unwrap();
    assert_eq!((values(&added, "d"), added.columns()), (json!([null, { "k": [true] }]), ["a", "b", "d", "c"].map(String::from).to_vec()));
    for bad in [json!([1, "1"]), json!([[1], [2]]), json!([{}, {}]), json!([true, 1])] {
        refused(numbered(&bad).sort("value", false), &["column `value`", "has no order"]);
    }
    refused(all.sort("z", false), &["column `z` does not exist"]);
    refused(all.sort_by_columns(&[]), &["no column is named"]);
    refused(all.sort_by_columns(&[("a", false), ("a", true)]), &["column `a` is named twice"]);
    refused(all.sort_by_columns(&[("a", false), ("c", true)]), &["column `c`", "a list in row 1", "no order"]);
    refused(all.unique("z"), &["column `z` does not exist"]);
}

#[test]
fn data_sets_stand_behind_each_other() {
    let (one, other) = (data(json!([{ "a": "x" }])), data(json!([{ "a": null, "b": 2 }, { "a": "y", "b": 2.5 }])));
    let both = concatenate_datasets([&one, &other, &Dataset::default()]).unwrap();
    assert_eq!(both, data(json!([{ "a": "x" }, { "a": null, "b": 2 }, { "a": "y", "b": 2.5 }])));
    refused(concatenate_datasets([&one, &data(json!([{ "a": ["x"] }]))]), &["column `a` is a text in data set 0 and a list in data set 1"]);
    refused(concatenate_datasets([]), &["no data set"]);
}

#[test]
fn a_table_gives_back_what_went_in() {
    for rows in [
        json!([{ "a": 1, "b": "x", "c": true }, { "a": -2, "b": "", "c": false }, { "a": null, "b": null, "c": null }]),
        json!([{ "a": u64::MAX, "b": i64::MIN }, { "a": 1, "b": i64::MAX }]),
        json!([{ "a": 0.1, "b": [1, 2], "c": [] }, { "a": 1e300, "b": [], "c": [] }, { "a": -0.5, "b": null, "c": [] }]),
        json!([{ "a": [["x"], []], "b": [null, "y"] }, { "a": [], "b": ["z", null] }]),
        json!([{ "a": (0..2000).collect::<Vec<_>>(), "b": "…".repeat(5000) }]),
        json!([{ "a": null }, { "a": null }]),
        json!([]),
    ] {
        assert_eq!(Dataset::from_frame(&data(rows.clone()).to_frame().unwrap()).unwrap(), data(rows));
    }
}

#[test]
fn what_shares_no_type_becomes_texts_with_all_digits() {
    let large = 9_007_199_254_740_993i64;
    for (rows, dtype, texts) in [
        (json!([{ "a": 1 }, { "a": "x" }, { "a": true }, { "a": [1, "y"] }]), DataType::String, json!(["1", "x", "true", "[1,\"y\"]"])),
        (json!([{ "a": u64::MAX }, { "a": -1 }]), DataType::String, json!([u64::MAX.to_string(), "-1"])),
        (json!([{ "a": large }, { "a": 0.5 }]), DataType::String, json!([large.to_string(), "0.5"])),
        (json!([{ "a": { "k": 1, "l": [2] } }, { "a": {} }]), DataType::String, json!(["{\"k\":1,\"l\":[2]}", "{}"])),
        (json!([{ "a": 1 }, { "a": 0.5 }, {}]), DataType::Float64, json!([1.0, 0.5, null])),
        (json!([{ "a": [1, "x"] }]), DataType::List(Box::new(DataType::String)), json!([["1", "x"]])),
    ] {
        let frame = data(rows).to_frame().unwrap();
        assert_eq!(frame.column("a").unwrap().dtype(), &dtype);
        assert_eq!(values(&Dataset::from_frame(&frame).unwrap(), "a"), texts);
    }
}

#[test]
fn a_number_that_is_none_is_named() {
    for bad in [f64::NAN, f64::INFINITY] {
        let column = Series::new("score".into(), [0.5, bad]).into_column();
        let frame = DataFrame::new(2, vec![column]).unwrap();
        refused(Dataset::from_frame(&frame), &["column `score`, row 1", "no number"]);
    }
    let columns = vec![
        Series::new("small".into(), [0.1f32, 1e30]).into_column(),
        Series::new("large".into(), [u64::MAX, 0]).into_column(),
        Series::new("truth".into(), [Some(true), None]).into_column(),
    ];
    let rows = Dataset::from_frame(&DataFrame::new(2, columns).unwrap()).unwrap();
    assert_eq!(rows, data(json!([{ "small": 0.1, "large": u64::MAX, "truth": true }, { "small": 1e30, "large": 0, "truth": null }])));
}
