//! Ours beside transformers and PyTorch, in one run on one machine: a table of training, generation and the machine's peaks.
//!
//! `cargo run --example speed -- --python <python>` with a Python that has torch and transformers; without `--python`, ours
//! alone. `--only <word>` keeps the lines that contain it. Each measurement is a process of its own, ours and theirs in turn.

mod measure;

use std::process::{Command, ExitCode};

use serde_json::Value;

/// (name, words for both sides): what is compared.
const CASES: [(&str, &str); 21] = [
    ("train 1x128, accumulation 4, Adafactor", "train --batch 1 --length 128 --accumulation 4 --steps 5"),
    ("train 1x512, accumulation 4, Adafactor", "train --batch 1 --length 512 --accumulation 4 --steps 4"),
    ("train 8x128, accumulation 4, Adafactor", "train --batch 8 --length 128 --accumulation 4 --steps 3"),
    ("train 1x2048, accumulation 4, Adafactor", "train --batch 1 --length 2048 --accumulation 4 --steps 3"),
    ("train 1x512, accumulation 4, AdamW", "train --batch 1 --length 512 --accumulation 4 --steps 4 --optimizer adamw_fused"),
    ("train own rows, batch 8, Adafactor", "train-rows {rows} --batch 8 --limit 160"),
    ("train own rows, a row a step, Adafactor", "train-rows {rows} --batch 1 --limit 160"),
    ("train own rows, a packed sequence of 512 a step, Adafactor", "train-rows {rows} --batch 1 --limit 160 --packing"),
    ("tokenize texts (encode_batch)", "tokenize-batch {texts} {tokenizer}"),
    ("tokenize rows (map, batched)", "tokenize-map {texts} {tokenizer}"),
    ("generate 1 x 100 greedy, f32", "generate --batch 1 --new 100"),
    ("generate 16 x 100 greedy, f32", "generate --batch 16 --new 100"),
    ("generate 1 x 100 greedy, bf16 weights", "generate --batch 1 --new 100 --weights bf16"),
    ("generate 1 x 100 greedy, f16 weights", "generate --batch 1 --new 100 --weights f16"),
    ("generate 1 x 100 greedy, Q8_0 weights", "generate --batch 1 --new 100 --weights q8"),
    ("generate 1 x 100 greedy, Q4_0 weights", "generate --batch 1 --new 100 --weights q4"),
    ("generate 1 x 100 greedy, Q4_K weights", "generate --batch 1 --new 100 --weights q4k"),
    ("generate 16 x 100 greedy, bf16 weights", "generate --batch 16 --new 100 --weights bf16"),
    ("generate 32 x 100 greedy, bf16 weights", "generate --batch 32 --new 100 --weights bf16"),
    ("load 282 MB of f32", "load"),
    ("matrix products", "gemm"),
];

/// GPT-NeoX's.
const TOKENIZER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/neox-tokenizer/tokenizer.json");

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| words.iter().position(|word| word == name).and_then(|index| words.get(index + 1)).cloned();
    if let Some(("measure", rest)) = words.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return match measure::run(rest) {
            Ok(line) => {
                println!("{line}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let rows = std::env::temp_dir().join(format!("finetuning-speed-{}.json", std::process::id()));
    let texts = rows.with_extension("jsonl");
    if let Err(error) = measure::write_rows(&rows).and_then(|()| measure::write_texts(&texts, 20_000)) {
        eprintln!("error: {error}");
        return ExitCode::FAILURE;
    }
    let (python, only) = (option("--python"), option("--only").unwrap_or_default());
    println!("| what | ours | PyTorch | ratio | ours: share of peak, optimizer, memory | PyTorch: optimizer, memory |");
    println!("|---|---|---|---|---|---|");
    for (name, words) in CASES.iter().filter(|(name, _)| name.contains(&only)) {
        let places = [("{rows}", rows.display().to_string()), ("{texts}", texts.display().to_string()), ("{tokenizer}", TOKENIZER.into())];
        let word = |word: &str| places.iter().find(|(name, _)| *name == word).map_or(word, |(_, place)| place).to_string();
        let words: Vec<String> = words.split(' ').map(word).collect();
        let ours = own(&words);
        // PyTorch always has 32 bits.
        let same = words.iter().position(|word| word == "--weights").unwrap_or(words.len());
        let ours_alone = words[0] == "load" || words.iter().any(|word| word == "--packing");
        let theirs = python.as_ref().filter(|_| !ours_alone).map_or(Value::Null, |python| peer(python, &words[..same]));
        println!("{}", line(name, &ours, &theirs));
    }
    let _ = std::fs::remove_file(rows);
    let _ = std::fs::remove_file(texts);
    ExitCode::SUCCESS
}

fn own(words: &[String]) -> Value {
    let program = std::env::current_exe().unwrap_or_default();
    answer(Command::new(program).arg("measure").args(words))
}

fn peer(python: &str, words: &[String]) -> Value {
    let script = if words[0].starts_with("tokenize") { "tokens.py" } else { "pytorch.py" };
    answer(Command::new(python).arg(format!("{}/benches/{script}", env!("CARGO_MANIFEST_DIR"))).args(words))
}

/// The line of JSON with the highest speed.
fn answer(command: &mut Command) -> Value {
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => return Value::String(error.to_string()),
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let best = lines.max_by(|a, b| speed(a).total_cmp(&speed(b)));
    best.unwrap_or_else(|| {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        Value::String(text.lines().last().unwrap_or("no answer").to_string())
    })
}

fn speed(line: &Value) -> f64 {
    line["tokens_per_second"].as_f64().or(line["gflops"].as_f64()).unwrap_or(0.0)
}

fn line(name: &str, ours: &Value, theirs: &Value) -> String {
    let shown = |value: &Value| match (value["tokens_per_second"].as_f64(), value["gflops"].as_f64(), value.as_str()) {
        (Some(tokens), ..) => format!("{tokens:.0} tokens/s"),
        (None, Some(gflops), _) => format!("{gflops:.0} GFLOP/s"),
        (None, None, Some(reason)) => reason.to_string(),
        _ => "not measured".to_string(),
    };
    let ratio = if speed(theirs) > 0.0 { format!("{:.2}", speed(ours) / speed(theirs)) } else { "-".into() };
    let details = |value: &Value, peak: bool| {
        let mut parts = Vec::new();
        if let (true, Some(share)) = (peak, value["share_of_peak"].as_f64()) {
            parts.push(format!("{:.0} %", 100.0 * share));
        }
        if let Some(share) = value["share_of_bandwidth"].as_f64() {
            parts.push(format!("{:.0} % of the memory's speed", 100.0 * share));
        }
        if let Some(seconds) = value["load_seconds"].as_f64() {
            parts.push(format!("{seconds:.2} s"));
        }
        if let Some(seconds) = value["optimizer_seconds"].as_f64() {
            parts.push(format!("{seconds:.2} s"));
        }
        if let Some(bytes) = value["peak_rss_bytes"].as_f64() {
            parts.push(format!(
                "{:.2} GB ({:.2} above start)",
                bytes / 1e9,
                (bytes - value["rss_before_bytes"].as_f64().unwrap_or(0.0)) / 1e9
            ));
        }
        parts.join(", ")
    };
    format!("| {name} | {} | {} | {ratio} | {} | {} |", shown(ours), shown(theirs), details(ours, true), details(theirs, false))
}
