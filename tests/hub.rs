//! Names of the hub, against a local server that answers as the hub does: metadata by a ranged request, then the file.
//!
//! The hub's settings are environment variables of a process, so each test runs its client in a child of its own: this
//! same program with `COURSE_HUB_CLIENT` set.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use finetuning::*;

use crate::support::{child, fixture, fresh_folder, root};

/// A hub with a few repositories; counts what was asked.
struct Hub {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

type Files = HashMap<String, Vec<u8>>;

/// The repositories: a model, a private one that needs the token `secret`, and data sets of both formats.
fn files() -> Files {
    let read = |path: &Path| std::fs::read(path).unwrap();
    let model = root().join("notebooks/models/tuned");
    let mut files = Files::new();
    for name in ["course/tuned", "private/tuned", "slow/tuned"] {
        for file in ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"] {
            files.insert(format!("{name}/resolve/main/{file}"), read(&model.join(file)));
        }
    }
    let lines = read(&root().join("notebooks/data/lab_docs.jsonl"));
    files.insert("datasets/course/docs/resolve/main/data/train.jsonl".into(), lines);
    for shard in ["train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"] {
        let parquet = read(&fixture(&format!("parquet/{shard}.parquet")));
        files.insert(format!("datasets/course/shards/resolve/main/data/{shard}.parquet"), parquet);
    }
    files
}

impl Hub {
    fn start() -> Hub {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (requests, files) = (Arc::new(Mutex::new(Vec::new())), Arc::new(files()));
        let seen = requests.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, files) = (seen.clone(), files.clone());
                std::thread::spawn(move || answer(stream, &files, &seen));
            }
        });
        Hub { address, requests }
    }

    /// Runs `client(task)` in a process whose hub is this one; its output and whether it succeeded.
    fn client(&self, task: &str, home: &Path, settings: &[(&str, &str)]) -> (String, bool) {
        let mut child = child("hub::client");
        child.env("COURSE_HUB_CLIENT", task);
        child.env_remove("HF_TOKEN").env_remove("HF_HUB_OFFLINE").env("HF_HOME", home).env("HF_ENDPOINT", &self.address);
        let output = child.envs(settings.iter().copied()).output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), output.status.success())
    }
}

/// Answers requests until the client closes.
fn answer(stream: TcpStream, files: &Files, seen: &Mutex<Vec<String>>) {
    let (mut reader, mut writer) = (BufReader::new(stream.try_clone().unwrap()), stream);
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line == "\r\n" {
                break;
            }
            head.push(line.trim().to_string());
        }
        let path = head[0].split(' ').nth(1).unwrap().trim_start_matches('/').to_string();
        let header = |name: &str| head.iter().find_map(|line| line.to_lowercase().strip_prefix(name).map(|value| value.trim().to_string()));
        let before = {
            let mut seen = seen.lock().unwrap();
            seen.push(path.clone());
            seen.iter().filter(|other| **other == path).count() - 1
        };
        let allowed = !path.starts_with("private/") || header("authorization:").is_some_and(|token| token == "bearer secret");
        let (status, extra, body) = match (allowed, listing(&path, files), files.get(&path)) {
            (false, ..) => ("401 Unauthorized", String::new(), b"Invalid credentials".to_vec()),
            (_, Some(list), _) => ("200 OK", String::new(), list.into_bytes()),
            (_, _, Some(file)) => {
                let commit = format!("ETag: \"{}\"\r\nX-Repo-Commit: 00000000000000000000000000000000000000aa\r\n", tag(&path));
                match header("range:").and_then(|range| range.strip_prefix("bytes=").map(str::to_string)) {
                    Some(range) => {
                        let (from, to) = range.split_once('-').unwrap();
                        let from: usize = from.parse().unwrap();
                        let to = to.parse().map_or(file.len(), |to: usize| (to + 1).min(file.len()));
                        let place = format!("{commit}Content-Range: bytes {from}-{}/{}\r\n", to - 1, file.len());
                        ("206 Partial Content", place, file[from..to].to_vec())
                    }
                    None => ("200 OK", commit, file.clone()),
                }
            }
            _ => ("404 Not Found", String::new(), b"Entry not found".to_vec()),
        };
        // From the middle on, the first reading of the weights (before it come their size and tag) is slow.
        let slow = path == "slow/tuned/resolve/main/model.safetensors" && before == 1;
        let sent = if slow { &body[..body.len() / 2] } else { &body[..] };
        let start = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{extra}\r\n", body.len());
        if writer.write_all(start.as_bytes()).and_then(|()| writer.write_all(sent)).is_err() {
            return;
        }
        for byte in &body[sent.len()..] {
            if writer.write_all(&[*byte]).is_err() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

/// A tag for each file, as the hub gives one for each content.
fn tag(path: &str) -> String {
    path.bytes().fold(5381u64, |hash, byte| hash.wrapping_mul(33) ^ u64::from(byte)).to_string()
}

/// The hub's answer about a repository: its files.
fn listing(path: &str, files: &Files) -> Option<String> {
    let name = path.strip_prefix("api/")?.split("/revision/").next()?.trim_start_matches("models/");
    let prefix = format!("{name}/resolve/main/");
    let mut names: Vec<&str> = files.keys().filter_map(|file| file.strip_prefix(&prefix)).collect();
    names.sort();
    let siblings: Vec<_> = names.iter().map(|name| serde_json::json!({ "rfilename": name })).collect();
    (!siblings.is_empty()).then(|| serde_json::json!({ "siblings": siblings, "sha": "aa" }).to_string())
}

/// The child's part; in an ordinary run of the tests it has nothing to do.
#[test]
fn client() {
    let Ok(task) = std::env::var("COURSE_HUB_CLIENT") else { return };
    let (kind, name) = task.split_once(' ').unwrap();
    let result = match kind {
        "ask" => BasicModelRunner::new(name).and_then(|runner| runner.ask("What is finetuning in short?")),
        "rows" => load_dataset(name).map(|data| format!("{} rows, first {}", data.len(), data.get(0).unwrap())),
        "stream" => stream_dataset(name).and_then(|rows| Ok(format!("{} rows", rows.collect::<Result<Vec<_>>>()?.len()))),
        "stop" => stop_and_go_on(name),
        other => panic!("no task {other}"),
    };
    println!("result: {}", result.unwrap_or_else(|error| format!("error: {error}")).replace('\n', " / "));
}

/// Interrupts the download of a model in its middle, then asks for the model again.
fn stop_and_go_on(name: &str) -> Result<String> {
    let flag = std::path::PathBuf::from(std::env::var_os("FINETUNING_INTERRUPT").unwrap());
    let stopped = std::thread::scope(|scope| {
        scope.spawn(|| {
            // The fast half takes no time, the slow half minutes.
            std::thread::sleep(std::time::Duration::from_millis(1500));
            std::fs::write(&flag, "").unwrap();
        });
        BasicModelRunner::new(name).map(drop).unwrap_err()
    });
    assert_eq!(stopped.kind(), ErrorKind::Interrupted);
    std::fs::remove_file(&flag).unwrap();
    Ok(format!("{stopped}, then {}", BasicModelRunner::new(name)?.ask("What is finetuning in short?")?))
}

#[track_caller]
fn result(output: &(String, bool)) -> &str {
    assert!(output.1, "{}", output.0);
    output.0.lines().find_map(|line| line.split_once("result: ")).unwrap_or_else(|| panic!("no result in {}", output.0)).1
}

#[test]
fn a_model_of_the_hub_is_the_builtin_one_and_stays_in_the_cache() {
    let (hub, home) = (Hub::start(), fresh_folder());
    let here = BasicModelRunner::new("builtin:tuned").unwrap().ask("What is finetuning in short?").unwrap();
    assert_eq!(result(&hub.client("ask course/tuned", &home, &[])), here);
    let asked = hub.requests.lock().unwrap().len();
    assert!(asked >= 6, "{asked} requests");
    assert_eq!(result(&hub.client("ask course/tuned", &home, &[])), here);
    assert_eq!(hub.requests.lock().unwrap().len(), asked, "the second load asks nothing");
    assert_eq!(result(&hub.client("ask course/tuned", &home, &[("HF_HUB_OFFLINE", "1")])), here);
    assert_eq!(hub.requests.lock().unwrap().len(), asked);
}

#[test]
fn a_download_can_be_interrupted_and_goes_on() {
    let (hub, home) = (Hub::start(), fresh_folder());
    let here = BasicModelRunner::new("builtin:tuned").unwrap().ask("What is finetuning in short?").unwrap();
    let flag = home.join("flag");
    let output = hub.client("stop slow/tuned", &home, &[("FINETUNING_INTERRUPT", flag.to_str().unwrap())]);
    let text = result(&output);
    assert!(text.starts_with("interrupted while fetching model.safetensors, after "), "{text}");
    assert!(text.contains(" of 5.9 MB") && text.ends_with(&format!(", then {here}")), "{text}");
}

#[test]
fn what_the_hub_does_not_have_is_named() {
    let (hub, home) = (Hub::start(), fresh_folder());
    let unknown = hub.client("ask course/nothing", &home, &[]);
    assert!(result(&unknown).contains("`course/nothing` does not exist on the hub, or has no config.json"), "{}", unknown.0);
    let private = hub.client("ask private/tuned", &home, &[]);
    assert!(result(&private).contains("set HF_TOKEN"), "{}", private.0);
    let with_token = hub.client("ask private/tuned", &home, &[("HF_TOKEN", "secret")]);
    assert!(!result(&with_token).contains("error"), "{}", with_token.0);
    let offline = hub.client("ask course/other", &home, &[("HF_HUB_OFFLINE", "1")]);
    assert!(result(&offline).contains("HF_HUB_OFFLINE is set"), "{}", offline.0);
    let away = hub.client("ask course/tuned", &home, &[("HF_ENDPOINT", "http://127.0.0.1:9")]);
    assert!(result(&away).contains("could not be fetched") && result(&away).contains("HF_ENDPOINT"), "{}", away.0);
}

#[test]
fn data_sets_of_the_hub_load_and_stream_in_both_formats() {
    let (hub, home) = (Hub::start(), fresh_folder());
    let local = load_dataset("builtin:lab_docs").unwrap();
    let lines = hub.client("rows course/docs", &home, &[]);
    assert_eq!(result(&lines), format!("{} rows, first {}", local.len(), local.get(0).unwrap()));
    // Two shards of the training part, in order; the test part is left out.
    let shards = hub.client("rows course/shards", &home, &[]);
    assert_eq!(result(&shards), "5 rows, first {\"question\": \"question 0 — ä?\", \"answer\": \"answer 0\", \"score\": \"0.5\"}");
    assert_eq!(result(&hub.client("stream course/shards", &home, &[("HF_HUB_OFFLINE", "1")])), "5 rows");
}
