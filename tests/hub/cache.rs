//! Names of the hub by environment variables, in a process of its own each: `harness ask-hub`.

use std::path::Path;

use finetuning::*;

use crate::process::harness;
use crate::support::hub::{Fault, Hub};
use crate::support::{fixture, fresh_folder, root};

/// The files of a builtin model that a checkpoint consists of.
pub const MODEL: [&str; 4] = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];

/// A hub with a model, a private one that needs the token `secret`, a gated one, and data sets of both formats.
pub fn hub() -> Hub {
    let hub = Hub::start();
    let read = |path: &Path| std::fs::read(path).unwrap();
    for name in ["course/small", "private/small", "gated/small"] {
        for file in MODEL {
            hub.put(&format!("models/{name}"), file, read(&root().join("notebooks/models/base").join(file)));
        }
        hub.put(&format!("models/{name}"), "pytorch_model.bin", "not needed");
    }
    hub.put("datasets/course/docs", "data/train.jsonl", read(&root().join("notebooks/data/lab_docs.jsonl")));
    for shard in ["train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"] {
        hub.put("datasets/course/shards", &format!("data/{shard}.parquet"), read(&fixture(&format!("parquet/{shard}.parquet"))));
    }
    hub
}

/// Runs `harness ask-hub TASK` in a process whose hub is this one; its output and whether it succeeded.
fn run(hub: &Hub, task: &str, home: &Path, settings: &[(&str, &str)]) -> (String, bool) {
    let mut child = harness("ask-hub");
    child.args(task.split(' '));
    for name in ["HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "FINETUNING_KERNEL"] {
        child.env_remove(name);
    }
    child.env("HF_HOME", home).env("HF_ENDPOINT", &hub.address);
    let output = child.envs(settings.iter().copied()).output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status.success())
}

#[track_caller]
fn result(output: &(String, bool)) -> &str {
    assert!(output.1, "{}", output.0);
    output.0.lines().find_map(|line| line.split_once("result: ")).unwrap_or_else(|| panic!("no result in {}", output.0)).1
}

/// In one line, as the other process prints it.
fn builtin_answer() -> String {
    BasicModelRunner::new("builtin:base").unwrap().ask("What is finetuning in short?").unwrap().replace('\n', " / ")
}

#[test]
fn a_model_of_the_hub_is_the_builtin_one_and_stays_in_the_cache() {
    let (hub, home, here) = (hub(), fresh_folder(), builtin_answer());
    assert_eq!(result(&run(&hub, "ask course/small", &home, &[])), here);
    let asked = hub.seen("").len();
    assert!(asked >= 2 * MODEL.len(), "{asked} requests");
    assert!(hub.seen("pytorch_model.bin").is_empty(), "only what is needed");
    assert_eq!(result(&run(&hub, "ask course/small", &home, &[])), here);
    assert_eq!(hub.seen("").len(), asked, "the second load asks nothing");
    assert_eq!(result(&run(&hub, "ask course/small", &home, &[("HF_HUB_OFFLINE", "1")])), here);
    let elsewhere = home.join("hub");
    let settings = [("HF_HUB_OFFLINE", "1"), ("HF_HOME", "/nowhere"), ("HF_HUB_CACHE", elsewhere.to_str().unwrap())];
    assert_eq!(result(&run(&hub, "ask course/small", &home, &settings)), here);
    assert_eq!(hub.seen("").len(), asked);
}

#[test]
fn a_download_can_be_interrupted_and_goes_on() {
    let (hub, home) = (hub(), fresh_folder());
    hub.fail("GET /content/", 1, Fault::Slow(1_500_000));
    let flag = home.join("flag");
    let output = run(&hub, "stop course/small", &home, &[("FINETUNING_INTERRUPT", flag.to_str().unwrap())]);
    let text = result(&output);
    assert!(text.starts_with("interrupted while fetching model.safetensors of `course/small`, after 1.5 MB of 2.1 MB"), "{text}");
    assert!(text.ends_with(&format!(", then {}", builtin_answer())), "{text}");
    let ranges = hub.seen("GET /content/");
    assert!(ranges.len() == 2 && ranges[1].contains(" bytes=15"), "the second goes on: {ranges:?}");
}

#[test]
fn two_processes_at_once_fetch_once() {
    let (hub, home, here) = (hub(), fresh_folder(), builtin_answer());
    std::thread::scope(|scope| {
        for process in [0; 2].map(|_| scope.spawn(|| run(&hub, "ask course/small", &home, &[]))) {
            assert_eq!(result(&process.join().unwrap()), here);
        }
    });
    assert_eq!(hub.seen("GET /content/").len(), 1);
}

#[test]
fn a_cell_shows_one_bar_that_moves_and_a_log_stays_short() {
    let (hub, home) = (hub(), fresh_folder());
    // The last bytes come one by one, so that there is something to see.
    hub.fail("GET /content/", 1, Fault::Slow(hub.file("models/course/small", "model.safetensors").unwrap().len() - 30));
    let cell = run(&hub, "ask course/small", &home, &[("FINETUNING_KERNEL", "1")]);
    let records: Vec<&str> = cell.0.lines().filter_map(|line| line.split_once("\x02K")).map(|(_, record)| record).collect();
    let with = |verb: &str| records.iter().filter(|record| record.starts_with(verb)).count();
    assert_eq!((with("{\"display\""), with("{\"display\"") + with("{\"update\"")), (1, records.len()), "{records:?}");
    assert!(records.last().unwrap().contains("model.safetensors: 2.1 MB of 2.1 MB") && (2..50).contains(&records.len()), "{records:?}");
    let log = run(&hub, "ask course/small", &fresh_folder(), &[]);
    assert!(!log.0.contains("2.1 MB"), "lines of progress are on stderr, which is a log: {}", log.0);
}

#[test]
fn the_token_comes_from_each_of_its_places() {
    let (hub, home, here) = (hub(), fresh_folder(), builtin_answer());
    let private = run(&hub, "ask private/small", &home, &[]);
    assert!(result(&private).contains("is private and no token was given (401)") && result(&private).contains("HF_TOKEN"), "{}", private.0);
    let wrong = run(&hub, "ask private/small", &home, &[("HF_TOKEN", "stale")]);
    assert!(result(&wrong).contains("does not accept the token (401)"), "{}", wrong.0);
    assert!(!wrong.0.contains("stale"), "a token is never printed: {}", wrong.0);
    let file = home.join("my-token");
    std::fs::write(&file, "secret\n").unwrap();
    std::fs::write(home.join("token"), "stale").unwrap();
    assert_eq!(result(&run(&hub, "ask private/small", &home, &[("HF_TOKEN_PATH", file.to_str().unwrap())])), here);
    let other = fresh_folder();
    std::fs::write(other.join("token"), "secret").unwrap();
    assert_eq!(result(&run(&hub, "ask private/small", &other, &[])), here);
    assert_eq!(result(&run(&hub, "ask private/small", &fresh_folder(), &[("HF_TOKEN", "secret")])), here);
}

#[test]
fn what_cannot_be_had_is_named() {
    let (hub, home) = (hub(), fresh_folder());
    let offline = run(&hub, "ask course/other", &home, &[("HF_HUB_OFFLINE", "1")]);
    assert!(result(&offline).contains("is not in the cache") && result(&offline).contains("HF_HUB_OFFLINE"), "{}", offline.0);
    let away = run(&hub, "ask course/small", &home, &[("HF_ENDPOINT", "http://127.0.0.1:9")]);
    assert!(result(&away).contains("http://127.0.0.1:9 could not be reached") && result(&away).contains("HF_ENDPOINT"), "{}", away.0);
    let wrong = run(&hub, "ask course/small", &home, &[("HF_ENDPOINT", "hub.example")]);
    assert!(result(&wrong).contains("must begin with https://"), "{}", wrong.0);
}

#[test]
fn data_sets_of_the_hub_load_and_stream_in_both_formats() {
    let (hub, home) = (hub(), fresh_folder());
    let local = load_dataset("builtin:lab_docs").unwrap();
    let lines = run(&hub, "rows course/docs", &home, &[]);
    assert_eq!(result(&lines), format!("{} rows, first {}", local.len(), local.get(0).unwrap()));
    // Two shards of the training part, in order; the test part is left out.
    let shards = run(&hub, "rows course/shards", &home, &[]);
    assert_eq!(result(&shards), "5 rows, first {\"question\": \"question 0 — ä?\", \"answer\": \"answer 0\", \"score\": 0.5}");
    assert_eq!(result(&run(&hub, "stream course/shards", &home, &[("HF_HUB_OFFLINE", "1")])), "5 rows");
    // Half of a data set is none.
    let first = home
        .join(format!("hub/datasets--course--shards/snapshots/{}/data/train-00000-of-00002.parquet", hub.commit("datasets/course/shards")));
    std::fs::remove_file(first).unwrap();
    let half = run(&hub, "stream course/shards", &home, &[("HF_HUB_OFFLINE", "1")]);
    assert!(result(&half).contains("data/train-00000-of-00002.parquet is not in the cache"), "{}", half.0);
}

#[test]
fn a_cache_with_tokenizer_json_alone_is_no_whole_tokenizer() {
    let (hub, cache) = (hub(), fresh_folder());
    let template = serde_json::json!({"eos_token": "<|endoftext|>", "chat_template": "T {{ messages[0].content }}"}).to_string();
    hub.put("models/course/small", "tokenizer_config.json", template);
    let options = |local_files_only: bool| HubOptions {
        endpoint: Some(hub.address.clone()),
        cache_dir: Some(cache.clone()),
        local_files_only,
        ..Default::default()
    };
    let load = |local: bool| AutoTokenizer::from_pretrained_with("course/small", &options(local)).unwrap();
    let settings = || {
        let snapshots = cache.join("models--course--small/snapshots");
        std::fs::read_dir(snapshots).unwrap().next().unwrap().unwrap().path().join("tokenizer_config.json")
    };
    assert!(load(false).has_chat_template());
    let asked = hub.seen("").len();
    assert!(load(false).has_chat_template());
    assert_eq!(hub.seen("").len(), asked, "a whole one is not asked for again");
    // What Python's `hf_hub_download("course/small", "tokenizer.json")` leaves.
    std::fs::remove_file(settings()).unwrap();
    assert!(!load(true).has_chat_template(), "without the network it is what there is");
    assert!(load(false).has_chat_template());
    assert!(hub.seen("").len() > asked && settings().exists());
    // A hub that does not answer leaves what there is, too.
    std::fs::remove_file(settings()).unwrap();
    let gone = HubOptions { endpoint: Some("http://127.0.0.1:9".into()), ..options(false) };
    assert!(!AutoTokenizer::from_pretrained_with("course/small", &gone).unwrap().has_chat_template());
}
