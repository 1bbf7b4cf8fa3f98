//! Reading JSON lines beside Python's readers, in one run on one machine, and the memory of a stream.
//!
//! `cargo run --example reading -- --python <python>` with a Python that has datasets and pandas; without `--python`, ours alone.
//! `--megabytes 100` is the size of a file, `--runs 5` how often each reads it, ours and theirs in turn, each in a process of its
//! own. `cargo run --example reading -- --stream 10000000` streams so many small rows and prints the most memory.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use finetuning::util::memory::peak_memory;
use finetuning::*;
use serde_json::{Value, json};

const READERS: [&str; 4] = ["datasets", "pandas", "json", "pyarrow"];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| words.iter().position(|word| word == name).and_then(|index| words.get(index + 1)).cloned();
    let number = |name: &str, default: usize| option(name).and_then(|word| word.parse().ok()).unwrap_or(default);
    let done = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["measure", way, path] => measure(way, path).map(|line| println!("{line}")),
        ["--stream", rows] => stream(rows.parse().unwrap_or(10_000_000)),
        _ => compare(option("--python"), number("--megabytes", 100), number("--runs", 5).max(1)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(way: &str, path: &str) -> Result<Value> {
    let start = Instant::now();
    // The rows are there until the time is taken, as the peers' are.
    let data = if way == "load" { load_dataset(path)? } else { Dataset::default() };
    let rows = match way {
        "load" => data.len(),
        _ => stream_dataset(path)?.try_fold(0, |count, row| row.map(|_| count + 1))?,
    };
    let seconds = start.elapsed().as_secs_f64();
    drop(data);
    Ok(json!({ "seconds": seconds, "rows": rows, "peak_rss_bytes": peak_memory() }))
}

/// A file of rows, `row` of each number, until it is large enough.
fn write(path: &Path, enough: impl Fn(usize, usize) -> bool, row: impl Fn(usize) -> Value) -> Result<()> {
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    let (mut bytes, mut number) = (0, 0);
    while !enough(bytes, number) {
        let line = row(number).to_string();
        file.write_all(line.as_bytes())?;
        file.write_all(b"\n")?;
        (bytes, number) = (bytes + line.len() + 1, number + 1);
    }
    Ok(file.flush()?)
}

fn question(row: usize) -> Value {
    let words = ["finetuning", "a model", "the rows", "\u{e4}", "\"quoted\"", "a longer part of a sentence, with a comma", "line\nbreak"];
    let text = |seed: usize, count: usize| (0..count).map(|at| words[(seed * 31 + at * 17) % words.len()]).collect::<Vec<_>>().join(" ");
    json!({ "id": row, "question": text(row, 4 + row % 5), "answer": text(row + 1, 10 + row % 9), "score": row as f64 / 7.0 })
}

fn chat(row: usize) -> Value {
    let answer = question(row);
    json!({ "messages": [{"role": "user", "content": answer["question"]}, {"role": "assistant", "content": answer["answer"]}], "source": "made up" })
}

fn run(command: &mut Command) -> Option<Value> {
    let output = command.output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().rev().find_map(|line| serde_json::from_str(line).ok())
}

fn compare(python: Option<String>, megabytes: usize, runs: usize) -> Result<()> {
    let folder = std::env::temp_dir().join(format!("finetuning-reading-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let program = std::env::current_exe()?;
    println!(
        "| file | reader | least, s | median, s | MB/s at the least | ours: times as fast, least and median | memory, MB |\n|---|---|---|---|---|---|---|"
    );
    for (name, row) in [("questions", question as fn(usize) -> Value), ("chats", chat)] {
        let path: PathBuf = folder.join(format!("{name}.jsonl"));
        write(&path, |bytes, _| bytes >= megabytes << 20, row)?;
        let size = std::fs::metadata(&path)?.len() as f64 / 1e6;
        let mut readers = vec!["load", "stream"];
        readers.extend(READERS.iter().filter(|_| python.is_some()));
        let mut found: Vec<Vec<Value>> = vec![Vec::new(); readers.len()];
        for _ in 0..runs {
            for (reader, answers) in readers.iter().zip(&mut found) {
                let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/reading.py");
                let answer = match (*reader, &python) {
                    ("load" | "stream", _) => run(Command::new(&program).args(["measure", reader]).arg(&path)),
                    (_, Some(python)) => run(Command::new(python).args([script, reader]).arg(&path)),
                    _ => None,
                };
                answers.extend(answer);
            }
        }
        let seconds = |answers: &[Value]| {
            let mut all: Vec<f64> = answers.iter().filter_map(|answer| answer["seconds"].as_f64()).collect();
            all.sort_by(f64::total_cmp);
            (all.first().copied().unwrap_or(f64::NAN), all.get(all.len() / 2).copied().unwrap_or(f64::NAN))
        };
        let ours = seconds(&found[0]);
        for (reader, answers) in readers.iter().zip(&found) {
            let (least, median) = seconds(answers);
            let memory = answers.iter().filter_map(|answer| answer["peak_rss_bytes"].as_f64()).fold(0.0, f64::max) / 1e6;
            let (own, times) = (["load", "stream"].contains(reader), (least / ours.0, median / ours.1));
            let shown = if own { "-".to_string() } else { format!("{:.2}, {:.2}", times.0, times.1) };
            let reader = if own { format!("`{reader}_dataset`") } else { (*reader).to_string() };
            println!("| {name}, {size:.0} MB | {reader} | {least:.2} | {median:.2} | {:.0} | {shown} | {memory:.0} |", size / least);
        }
    }
    Ok(std::fs::remove_dir_all(folder)?)
}

fn stream(rows: usize) -> Result<()> {
    let path = std::env::temp_dir().join(format!("finetuning-stream-{}.jsonl", std::process::id()));
    write(&path, |_, row| row >= rows, |row| json!({ "text": format!("row {row}"), "row": row }))?;
    let before = peak_memory();
    let start = Instant::now();
    let count = stream_dataset(&path.display().to_string())?.try_fold(0, |count, row| row.map(|_| count + 1))?;
    let (seconds, megabytes) = (start.elapsed().as_secs_f64(), peak_memory() >> 20);
    println!("{count} rows in {seconds:.1} s; the most memory: {megabytes} MiB, {} of them before the first row", before >> 20);
    Ok(std::fs::remove_file(path)?)
}
