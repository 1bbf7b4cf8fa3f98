//! One measurement of ours: words of the command line → one line of JSON, with the names of `benches/pytorch.py`.

use std::path::Path;
use std::time::{Duration, Instant};

use finetuning::compute::memory::keep_memory;
use finetuning::compute::probe::{memory_speed, product_speed, read_speed};
use finetuning::util::memory::peak_memory;
use finetuning::*;
use serde_json::{Value, json};

/// Parameters that meet every token at pythia-70m's shape: all but the input embedding.
const MULTIPLYING: usize = 44_670_976;
const PATIENCE: Duration = Duration::from_millis(300);

/// Measures what the words ask for.
pub fn run(words: &[String]) -> Result<Value> {
    let number = |name: &str, default: usize| option(words, name).and_then(|word| word.parse().ok()).unwrap_or(default);
    keep_memory(words.first().is_some_and(|word| word.starts_with("train")));
    match words.first().map_or("", String::as_str) {
        "train" => train(words, number("--batch", 1), number("--length", 512), number("--accumulation", 4), number("--steps", 5)),
        "train-rows" => train_rows(words, number("--batch", 8), number("--limit", usize::MAX)),
        "generate" => generate_tokens(option(words, "--weights"), number("--batch", 1), number("--prompt", 16), number("--new", 100)),
        "load" => load(),
        "tokenize-batch" | "tokenize-map" => tokenize(words),
        "gemm" => Ok(json!({ "gflops": product_speed(Duration::from_secs(2)) / 1e9 })),
        "bandwidth" => Ok(json!({ "gb_per_second": memory_speed(Duration::from_secs(2)) / 1e9 })),
        other => Err(Error::new(ErrorKind::Training, format!("`{other}` is no measurement")).hint("see benches/pytorch.py")),
    }
}

fn option<'a>(words: &'a [String], name: &str) -> Option<&'a String> {
    words.iter().position(|word| word == name).and_then(|index| words.get(index + 1))
}

fn model() -> Result<CausalLm> {
    CausalLm::random(NeoxConfig::new(50_304, 512, 6, 8), 0, None, &Device::Cpu)
}

fn arguments(words: &[String], batch: usize, accumulation: usize, steps: usize) -> TrainingArguments {
    TrainingArguments {
        optim: if option(words, "--optimizer").is_some_and(|name| name.starts_with("adamw")) { Optim::AdamW } else { Optim::Adafactor },
        learning_rate: 1e-5,
        per_device_train_batch_size: batch,
        gradient_accumulation_steps: accumulation,
        max_steps: steps as i64,
        gradient_checkpointing: words.iter().any(|word| word == "--checkpointing"),
        disable_tqdm: true,
        logging_steps: 1_000_000,
        ..Default::default()
    }
}

fn row(ids: Vec<u32>) -> Encoding {
    Encoding { attention_mask: vec![1; ids.len()], labels: ids.clone(), input_ids: ids, prompt_length: 0 }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Random rows of one length, as many as the steps need; the first step is not counted.
fn train(words: &[String], batch: usize, length: usize, accumulation: usize, steps: usize) -> Result<Value> {
    let before = peak_memory();
    let count = batch * accumulation;
    let id = |row: usize, place: usize| ((row * 7919 + place * 104_729) % 50_303 + 1) as u32;
    let rows: Vec<Encoding> = (0..count).map(|index| row((0..length).map(|place| id(index, place)).collect())).collect();
    let model = model()?;
    let mut trainer = Trainer::new(
        &model,
        arguments(words, batch, accumulation, steps + 1),
        TokenizedDataset::from_rows(rows.clone()),
        TokenizedDataset::default(),
    )?;
    trainer.train()?;
    let counted = &trainer.history()[1..];
    let seconds = median(counted.iter().map(|step| step.seconds).collect());
    let optimizer = median(counted.iter().map(|step| step.optimizer_seconds).collect());
    let memory = peak_memory();
    let (peak, bandwidth) = (product_speed(PATIENCE), memory_speed(PATIENCE));
    let tokens = (count * length) as f64;
    let flops = tokens * (6 * MULTIPLYING + 12 * 6 * 512 * length) as f64;
    Ok(json!({
        "tokens_per_second": tokens / seconds, "optimizer_seconds": optimizer, "gflops": flops / seconds / 1e9, "peak_gflops": peak / 1e9,
        "share_of_peak": flops / seconds / peak, "memory_gb_per_second": bandwidth / 1e9, "peak_rss_bytes": memory, "rss_before_bytes": before,
    }))
}

fn train_rows(words: &[String], batch: usize, limit: usize) -> Result<Value> {
    let path = words.get(1).cloned().unwrap_or_default();
    let bytes = std::fs::read(&path).map_err(|error| Error::file(Path::new(&path), error))?;
    let rows: Vec<Vec<u32>> = serde_json::from_slice(&bytes).unwrap_or_default();
    let rows: Vec<Encoding> = rows.into_iter().take(limit).map(row).collect();
    let model = model()?;
    let mut trainer = Trainer::new(
        &model,
        TrainingArguments {
            packing: words.iter().any(|word| word == "--packing"),
            max_length: words.iter().any(|word| word == "--packing").then_some(512),
            num_train_epochs: 1.0,
            max_steps: -1,
            ..arguments(words, batch, 1, 0)
        },
        TokenizedDataset::from_rows(rows.clone()),
        TokenizedDataset::default(),
    )?;
    trainer.train()?;
    let counted = &trainer.history()[1..];
    let (tokens, seconds) = counted.iter().fold((0, 0.0), |(tokens, seconds), step| (tokens + step.tokens, seconds + step.seconds));
    Ok(json!({ "tokens_per_second": tokens as f64 / seconds, "peak_rss_bytes": peak_memory(), "rss_before_bytes": 0 }))
}

/// Ids a second of a file's rows: of their texts alone, or of the rows with masks, labels and prompts' lengths.
fn tokenize(words: &[String]) -> Result<Value> {
    let word = |index: usize| words.get(index).cloned().unwrap_or_default();
    let (data, tokenizer) = (load_dataset(&word(1))?, AutoTokenizer::from_pretrained(&word(2))?);
    let texts = data.iter().map(concatenate).collect::<Result<Vec<_>>>()?;
    let pass = || -> Result<(usize, f64)> {
        let started = Instant::now();
        let tokens = match word(0).as_str() {
            "tokenize-batch" => tokenizer.encode_batch(&texts)?.iter().map(Vec::len).sum(),
            _ => tokenize_dataset(&data, &tokenizer, 2048)?.tokens(),
        };
        Ok((tokens, started.elapsed().as_secs_f64()))
    };
    let (tokens, _) = pass()?;
    let seconds = (0..5).map(|_| pass().map(|(_, seconds)| seconds)).collect::<Result<Vec<_>>>()?;
    Ok(
        json!({ "rows": data.len(), "tokens": tokens, "tokens_per_second": tokens as f64 / median(seconds), "peak_rss_bytes": peak_memory() }),
    )
}

/// The time of reading a checkpoint of pythia-70m's shape that was just written, so that it is in the system's cache.
fn load() -> Result<Value> {
    let folder = std::env::temp_dir().join(format!("finetuning-load-{}", std::process::id()));
    model()?.save_pretrained(&folder)?;
    let mut times = Vec::new();
    for _ in 0..5 {
        let started = Instant::now();
        CausalLm::from_folder(&folder, &Device::Cpu)?;
        times.push(started.elapsed().as_secs_f64());
    }
    let _ = std::fs::remove_dir_all(folder);
    Ok(json!({ "load_seconds": median(times), "peak_rss_bytes": peak_memory() }))
}

fn generate_tokens(weights: Option<&String>, batch: usize, prompt: usize, new: usize) -> Result<Value> {
    let model = match weights.map(String::as_str) {
        Some("bf16") => model()?.to_dtype(DType::BF16)?,
        Some("f16") => model()?.to_dtype(DType::F16)?,
        Some("q8") => model()?.quantized(GgmlDType::Q8_0)?,
        Some("q4") => model()?.quantized(GgmlDType::Q4_0)?,
        Some("q4k") => model()?.quantized(GgmlDType::Q4K)?,
        _ => model()?,
    };
    let prompts: Vec<Vec<u32>> =
        (0..batch).map(|row| (0..prompt).map(|place| ((row * 31 + place * 17) % 50_303 + 1) as u32).collect()).collect();
    let write = |max_new_tokens: usize| -> Result<f64> {
        let started = Instant::now();
        let config = GenerationConfig { max_new_tokens, ..Default::default() };
        generate_batch(&model, &prompts, &config, None, |_, _| Ok(()))?;
        Ok(started.elapsed().as_secs_f64())
    };
    write(4)?;
    let seconds = median(vec![write(new)?, write(new)?, write(new)?]);
    // What each step reads: all matrices but the input embedding.
    let bytes = model.memory_footprint() as f64 * MULTIPLYING as f64 / model.parameter_count() as f64;
    let bandwidth = read_speed(PATIENCE);
    Ok(json!({
        "tokens_per_second": (batch * new) as f64 / seconds, "share_of_bandwidth": bytes * new as f64 / seconds / bandwidth,
        "memory_gb_per_second": bandwidth / 1e9, "peak_rss_bytes": peak_memory(),
    }))
}

/// Rows of text: those of the project's own data set, again and again with a number in front.
pub fn write_texts(path: &Path, count: usize) -> Result<()> {
    let data = load_dataset("builtin:lab_docs")?;
    let row = |(index, example): (usize, &Example)| -> Result<Example> {
        Ok(Example::new([
            ("question", format!("{index}. {}", example.field("question")?)),
            ("answer", example.field("answer")?.to_string()),
        ]))
    };
    let rows = data.iter().cycle().take(count).enumerate().map(row).collect::<Result<Vec<_>>>()?;
    Dataset::from_examples(rows).to_jsonl(path)
}

/// The rows of the project's own data set, tokenized with the tokenizer of Pythia where it is at hand, else its own.
pub fn write_rows(path: &Path) -> Result<()> {
    let tokenizer = AutoTokenizer::from_pretrained("builtin:base")?;
    let data = tokenize_dataset(&load_dataset("builtin:lab_docs")?, &tokenizer, 2048)?;
    let rows: Vec<&Vec<u32>> = data.rows().iter().map(|row| &row.input_ids).collect();
    std::fs::write(path, json!(rows).to_string()).map_err(|error| Error::file(path, error))
}
