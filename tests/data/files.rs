//! Which files of a folder or a repository are read: those that `datasets` takes.

use std::path::Path;

use finetuning::course::config::{DatasetsConfig, ModelConfig, TrainingConfig};
use finetuning::*;
use serde_json::Value;

use crate::support::hub::Hub;
use crate::support::{fixture, fresh_folder, json, refused};

/// A folder with these files, each a row that says its name.
fn folder(files: &[&str]) -> std::path::PathBuf {
    let folder = fresh_folder();
    for file in files {
        write(&folder.join(file), &format!("{{\"text\": \"{file}\"}}\n"));
    }
    folder
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn name(path: &Path) -> String {
    path.display().to_string()
}

/// The texts of all rows.
fn texts(name: &str, options: &DataOptions) -> Vec<String> {
    load_dataset_with(name, options).unwrap().column("text").unwrap()
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_string()).collect()
}

#[test]
fn files_are_found_as_datasets_finds_them() {
    let fixture = json("files.json");
    let cases = fixture["cases"].as_array().unwrap();
    assert!(cases.len() >= 40, "{}", cases.len());
    for case in cases {
        let folder = fresh_folder();
        for file in strings(&case["files"]) {
            write(&folder.join(file), "");
        }
        if let Some(card) = case["readme"].as_str() {
            write(&folder.join("README.md"), card);
        }
        let mut options = DataOptions::new();
        if let Some(config) = case["config"].as_str() {
            options = options.with_config(config);
        }
        if let Some(data_dir) = case["data_dir"].as_str() {
            options = options.with_data_dir(data_dir);
        }
        for (split, patterns) in case["data_files"].as_object().into_iter().flatten() {
            options = options.with_split_files(split, strings(patterns));
        }
        let found = dataset_splits(&name(&folder), &options);
        if case["refused"].is_string() {
            refused(found, &[]);
            continue;
        }
        let inside = |file: &String| file.strip_prefix(&format!("{}/", name(&folder))).unwrap().to_string();
        let found: Vec<(String, Vec<String>)> =
            found.unwrap().into_iter().map(|(split, files)| (split, files.iter().map(inside).collect())).collect();
        let expected: Vec<(String, Vec<String>)> =
            case["splits"].as_array().unwrap().iter().map(|pair| (pair[0].as_str().unwrap().to_string(), strings(&pair[1]))).collect();
        assert_eq!(found, expected, "{}", case["name"]);
    }
}

#[test]
fn parts_of_splits_are_those_of_datasets() {
    let fixture = json("files.json");
    let (root, test) = (fresh_folder(), 7);
    for case in fixture["slices"].as_array().unwrap() {
        let count = case["count"].as_u64().unwrap() as usize;
        let folder = root.join(count.to_string());
        if !folder.exists() {
            let rows = |count: usize, split: &str| (0..count).map(|row| format!("{{\"text\": \"{split} {row}\"}}\n")).collect::<String>();
            write(&folder.join("train.jsonl"), &rows(count, "train"));
            write(&folder.join("test.jsonl"), &rows(test, "test"));
        }
        let spec = case["spec"].as_str().unwrap();
        let found = load_dataset_with(&name(&folder), DataOptions::new().with_split(spec));
        let parts = case["parts"].as_array().into_iter().flatten();
        let expected: Vec<String> = parts
            .flat_map(|part| {
                let (from, to) = (part[1].as_u64().unwrap(), part[2].as_u64().unwrap());
                (from..to).map(|row| format!("{} {row}", part[0].as_str().unwrap())).collect::<Vec<_>>()
            })
            .collect();
        if expected.is_empty() {
            refused(found, &[]);
        } else {
            assert_eq!(found.unwrap().column("text").unwrap(), expected, "{spec} of {count}");
        }
    }
    let folder = name(&root.join("137"));
    let streamed = stream_dataset_with(&folder, DataOptions::new().with_split("train[5:7]+test[:1]")).unwrap();
    let streamed: Vec<String> = streamed.map(|row| row.unwrap()["text"].to_string()).collect();
    assert_eq!(streamed, ["train 5", "train 6", "test 0"]);
    refused(stream_dataset_with(&folder, DataOptions::new().with_split("train[:10%]")), &["`train`", "percents", "train[100:200]"]);
    refused(load_dataset_with(&folder, DataOptions::new().with_split("dev")), &["no split `dev`", "`train`, `test`"]);
    refused(load_dataset_with(&folder, DataOptions::new().with_split("train[")), &["`train[`"]);
    assert_eq!(texts(&folder, &DataOptions::new().with_split("test").with_limit(2)), ["test 0", "test 1"]);
}

#[test]
fn a_folder_is_read_by_its_split_and_what_is_missing_is_named() {
    let plain = DataOptions::new();
    assert_eq!(texts(&name(&folder(&["test.jsonl"])), &plain), ["test.jsonl"], "the only split");
    assert_eq!(texts(&name(&folder(&["developer_docs.jsonl"])), &plain), ["developer_docs.jsonl"]);
    let restrained = folder(&["train.jsonl", "test_restrained.jsonl"]);
    assert_eq!(texts(&name(&restrained), &plain), ["train.jsonl"]);
    refused(load_dataset(&name(&folder(&["test.jsonl", "dev.jsonl"]))), &["no split `train`", "`validation`, `test`"]);
    refused(load_dataset(&name(&folder(&["a.py"]))), &["no file with rows", ".jsonl"]);
    let upper = folder(&["TRAIN/A.JSONL", "notes.md"]);
    assert_eq!(texts(&name(&upper), &plain), ["TRAIN/A.JSONL"]);
    assert_eq!(texts(&format!("{}/*/*.JSONL", name(&upper)), &plain), ["TRAIN/A.JSONL"]);
    refused(load_dataset(&format!("{}/*.csv", name(&upper))), &["no file fits"]);
    let two = folder(&["main/train.jsonl", "socratic/train.jsonl"]);
    assert_eq!(texts(&name(&two), &plain.clone().with_config("main")), ["main/train.jsonl"], "a folder stands for a config");
    refused(load_dataset_with(&name(&two), plain.clone().with_config("other")), &["no config `other`"]);
    refused(load_dataset_with(&name(&two), plain.clone().with_data_files(["main/trian.jsonl"])), &["main/trian.jsonl", "main/train.jsonl"]);
    // Tables of Excel are rows, where nothing else is.
    let workbook = |file: &Path| {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::copy(fixture("files/workbook.xlsx"), file).unwrap();
    };
    let tables = fresh_folder();
    ["train.xlsx", "test.XLSX"].iter().for_each(|file| workbook(&tables.join(file)));
    assert_eq!(load_dataset(&name(&tables)).unwrap().len(), 2);
    assert_eq!(load_dataset_with(&name(&tables), plain.clone().with_split("test")).unwrap().len(), 2);
    workbook(&restrained.join("train-2.xlsx"));
    assert_eq!(texts(&name(&restrained), &plain), ["train.jsonl"]);
    // An endless loop of links is walked once.
    std::os::unix::fs::symlink(&two, two.join("main/again")).unwrap();
    assert_eq!(texts(&name(&two), &plain), ["main/train.jsonl", "socratic/train.jsonl"]);
    let one = name(&two.join("main/train.jsonl"));
    refused(load_dataset_with(&one, plain.clone().with_config("main")), &["is one file"]);
    assert_eq!(texts(&one, &plain.clone().with_split("train")), ["main/train.jsonl"]);
}

fn hub() -> (Hub, HubOptions) {
    let hub = Hub::start();
    let (endpoint, cache_dir, token) = (Some(hub.address.clone()), Some(fresh_folder()), Some(String::new()));
    let options = HubOptions { endpoint, cache_dir, token, ..Default::default() };
    (hub, options)
}

fn put(hub: &Hub, repo: &str, files: &[&str]) {
    for file in files {
        hub.put(&format!("datasets/{repo}"), file, format!("{{\"text\": \"{file}\"}}\n{{\"text\": \"again\"}}\n"));
    }
}

#[test]
fn configs_of_the_hub_are_kept_apart() {
    let (hub, options) = hub();
    let files = ["main/train-00000-of-00001.jsonl", "main/test-00000-of-00001.jsonl", "socratic/train-00000-of-00001.jsonl"];
    put(&hub, "owner/Name-2.5", &files);
    let of = |name: &str| {
        format!(
            "- config_name: {name}\n  data_files:\n  - split: train\n    path: {name}/train-*\n  - split: test\n    path: {name}/test-*\n"
        )
    };
    hub.put("datasets/owner/Name-2.5", "README.md", format!("---\nconfigs:\n{}{}---\n", of("main"), of("socratic")));
    let options = DataOptions::from(&options);
    refused(load_dataset_with("owner/Name-2.5", &options), &["`main`, `socratic`", "config(\"main\")"]);
    assert_eq!(texts("owner/Name-2.5", &options.clone().with_config("socratic"))[0], files[2]);
    let test = options.clone().with_config("main").with_split("test").with_columns(["text"]);
    assert_eq!(texts("owner/Name-2.5", &test)[0], files[1]);
    assert_eq!(hub.seen("main/train").len(), 0, "only what is read is fetched");
}

#[test]
fn a_stream_of_the_hub_fetches_a_shard_when_its_turn_comes() {
    let (hub, options) = hub();
    put(&hub, "owner/shards", &["data/train-00000-of-00003.jsonl", "data/train-00001-of-00003.jsonl", "data/train-00002-of-00003.jsonl"]);
    let mut stream = stream_dataset_with("owner/shards", &options).unwrap();
    let fetched = || {
        (0..3)
            .filter(|shard| {
                !hub.seen(&format!("GET /datasets/owner/shards/resolve/{}/data/train-0000{shard}", hub.commit("datasets/owner/shards")))
                    .is_empty()
            })
            .count()
    };
    stream.next().unwrap().unwrap();
    assert_eq!(fetched(), 1);
    stream.next().unwrap().unwrap();
    assert_eq!(fetched(), 1);
    stream.next().unwrap().unwrap();
    assert_eq!(fetched(), 2);
    assert_eq!((stream.count(), fetched()), (3, 3));
    // One that is missing is missed at once.
    put(&hub, "owner/half", &["data/train-00000-of-00002.jsonl"]);
    refused(stream_dataset_with("owner/half", &options), &["data/train-00001-of-00002.jsonl"]);
}

#[test]
fn names_are_what_they_look_like() {
    let (_hub, options) = hub();
    let ask = |name: &str, options: DataOptions| load_dataset_with(name, options);
    // A dot in the name of a repository is no suffix.
    refused(ask("owner/Name-2.5", DataOptions::from(&options)), &["the data set `owner/Name-2.5`", "hub"]);
    refused(ask("nowhere/data.csv.GZ", DataOptions::from(&options)), &["nowhere/data.csv.GZ", "No such file"]);
    refused(ask("builtin:lab_doc", DataOptions::from(&options)), &["builtin:lab_docs"]);
    refused(ask("owner/rows", DataOptions::from(&options).local_only()), &["owner/rows", "No such file"]);
    let error = AutoModelForCausalLM::from_pretrained("builtin:README.md").map(drop).unwrap_err().to_string();
    assert!(error.contains("`builtin:base`") && error.matches("README.md").count() == 1, "{error}");
}

#[test]
fn use_hf_says_where_the_name_is_looked_for() {
    let tokenizer = AutoTokenizer::from_pretrained("builtin:base").unwrap();
    let ask = |use_hf: bool, path: &str| {
        let config = TrainingConfig {
            model: ModelConfig { pretrained_name: "builtin:base".into(), max_length: 64 },
            datasets: DatasetsConfig { use_hf, path: path.into() },
            verbose: false,
        };
        finetuning::course::config::tokenize_and_split_data(&config, &tokenizer).map(|(train, test)| train.len() + test.len())
    };
    let folder = fresh_folder();
    for (file, rows) in [("rows.csv", "question,answer\nx,y\nz,w\n"), ("rows.tsv", "question\tanswer\nx\ty\nz\tw\n")] {
        write(&folder.join(file), rows);
        assert_eq!(ask(false, &name(&folder.join(file))).unwrap(), 2, "{file}");
        refused(ask(true, &name(&folder.join(file))), &["use_hf is true", "a file that is here"]);
    }
    std::fs::remove_file(folder.join("rows.tsv")).unwrap();
    assert_eq!(ask(false, &name(&folder)).unwrap(), 2, "a folder");
    refused(ask(true, "builtin:lab_docs"), &["use_hf is true", "builtin"]);
    refused(ask(false, "owner/rows"), &["use_hf is false", "no file or folder here"]);
}

#[test]
fn splits_are_told_by_keywords_in_any_case() {
    for files in [["Train.jsonl", "Test.jsonl"], ["TRAIN.jsonl", "TEST.jsonl"], ["Train/a.jsonl", "Test/a.jsonl"]] {
        let folder = name(&folder(&files));
        assert_eq!(texts(&folder, &DataOptions::new()), [files[0]]);
        assert_eq!(texts(&folder, &DataOptions::new().with_split("test")), [files[1]]);
    }
}

#[test]
fn a_part_of_a_series_that_is_not_here_is_missed() {
    let half = name(&folder(&["train-00000-of-00003.jsonl", "train-00002-of-00003.jsonl"]));
    refused(load_dataset(&half), &["has no `train-00001-of-00003.jsonl`", "with_data_files"]);
    assert_eq!(texts(&half, &DataOptions::new().with_data_files(["train-00002-*"])), ["train-00002-of-00003.jsonl"]);
    assert_eq!(texts(&name(&folder(&["a-history-of-3.jsonl"])), &DataOptions::new()).len(), 1);
}
