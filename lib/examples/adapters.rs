//! Adapters trained on packed models beside the same on the model in f32, in one run on one machine: a table of memory and speed.
//!
//! `cargo run --example adapters`, with `--layers 16 --width 1024 --batch 1 --length 256 --steps 4 --rounds 2` as defaults: a random model of
//! 247 million parameters, LoRA of rank 8 on all matrices, gradient checkpointing. Each measurement is a process of its own, the formats in
//! turn; what counts is a ratio to f32: the least memory and the highest speed of each. The memory is the peak of the process from the moment
//! at which the model stands there, so that making it does not count.

use std::process::{Command, ExitCode};

use finetuning::compute::memory::keep_memory;
use finetuning::util::memory::peak_memory;
use finetuning::*;
use serde_json::{Value, json};

const FORMATS: [&str; 4] = ["f32", "Q8_0", "Q4_0", "Q4_K"];
const PACKED: [(&str, GgmlDType); 3] = [("Q8_0", GgmlDType::Q8_0), ("Q4_0", GgmlDType::Q4_0), ("Q4_K", GgmlDType::Q4K)];
const WORDS: usize = 32_000;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.split_first() {
        Some((first, rest)) if first == "measure" => measure(rest).map(|line| println!("{line}")),
        _ => compare(&words),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn option<'a>(words: &'a [String], name: &str) -> Option<&'a String> {
    words.iter().position(|word| word == name).and_then(|index| words.get(index + 1))
}

fn number(words: &[String], name: &str, default: usize) -> usize {
    option(words, name).and_then(|word| word.parse().ok()).unwrap_or(default).max(1)
}

/// Trains an adapter on one format of the model.
fn measure(words: &[String]) -> Result<Value> {
    let (layers, width) = (number(words, "--layers", 16), number(words, "--width", 1024));
    let (batch, length, steps) = (number(words, "--batch", 1), number(words, "--length", 256), number(words, "--steps", 4));
    // The feed-forward layer is 2.75 times as wide: a multiple of 256, as the blocks of Q4_K ask for.
    let config = LlamaConfig::new(WORDS, width, width * 11 / 4, layers, [width / 64, width.div_ceil(256)]);
    let mut model = CausalLm::random(config, 0, None, &Device::Cpu)?;
    if let Some((_, format)) = PACKED.iter().find(|(name, _)| option(words, "--format").is_some_and(|given| given == name)) {
        model = model.quantized(*format)?;
    }
    // Gives back what making it took, and sets the peak to what is held now.
    keep_memory(false);
    std::fs::write("/proc/self/clear_refs", "5").map_err(|error| Error::file("/proc/self/clear_refs".as_ref(), error))?;
    let footprint = model.memory_footprint();
    let model = model.with_lora(&LoraConfig { target_modules: vec!["all-linear".into()], ..Default::default() })?;
    let id = |row: usize, place: usize| ((row * 7919 + place * 104_729) % (WORDS - 1) + 1) as u32;
    let rows = (0..batch).map(|row| Encoding::from_ids((0..length).map(|place| id(row, place)).collect()));
    let arguments = TrainingArguments {
        learning_rate: 1e-4,
        max_steps: steps as i64 + 1,
        per_device_train_batch_size: batch,
        gradient_checkpointing: true,
        disable_tqdm: true,
        logging_steps: 1_000_000,
        ..Default::default()
    };
    let mut trainer = Trainer::new(&model, arguments, TokenizedDataset::from_rows(rows.collect()), TokenizedDataset::default())?;
    trainer.train()?;
    let fastest = trainer.history()[1..].iter().map(|step| step.seconds).fold(f64::INFINITY, f64::min);
    Ok(json!({ "tokens_per_second": (batch * length) as f64 / fastest, "peak_rss_bytes": peak_memory(), "weights_bytes": footprint }))
}

fn compare(words: &[String]) -> Result<()> {
    let mut best = FORMATS.map(|_| (f64::INFINITY, 0f64, 0f64));
    for _ in 0..number(words, "--rounds", 2) {
        for (format, best) in FORMATS.iter().zip(&mut best) {
            let line = own(format, words)?;
            let read = |field: &str| line[field].as_f64().unwrap_or(f64::NAN);
            *best = (best.0.min(read("peak_rss_bytes")), best.1.max(read("tokens_per_second")), read("weights_bytes"));
        }
    }
    println!("| matrices | weights | memory in training | of f32 | tokens/s | of f32 |");
    println!("|---|---|---|---|---|---|");
    let (memory, speed, _) = best[0];
    for (format, (own, tokens, weights)) in FORMATS.iter().zip(best) {
        let [own_mb, weights_mb] = [own, weights].map(|bytes| bytes / 1e6);
        println!("| {format} | {weights_mb:.0} MB | {own_mb:.0} MB | {:.2} | {tokens:.0} | {:.2} |", own / memory, tokens / speed);
    }
    Ok(())
}

fn own(format: &str, words: &[String]) -> Result<Value> {
    let program = std::env::current_exe()?;
    let output = Command::new(program).arg("measure").args(words).args(["--format", format]).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().rev().find_map(|line| serde_json::from_str::<Value>(line).ok().filter(Value::is_object));
    line.ok_or_else(|| {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        Error::new(ErrorKind::Training, format!("{format}: {text}")).hint("choose a smaller model, such as --layers 4 --width 512")
    })
}
