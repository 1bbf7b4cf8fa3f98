//! 32 clients at once beside one alone, over HTTP, in one run: tokens a second and the time to the first token.
//!
//! `cargo run --example serving`, with `--only <word>` for the lines that contain it. Each line is the median of three rounds,
//! one client and many in turn.

use std::io::{BufRead, BufReader};
use std::time::Instant;

use finetuning::*;
use serde_json::json;

const CLIENTS: usize = 32;
const TOKENS: usize = 100;
const PROMPT: usize = 16;
const ROUNDS: usize = 3;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let only = words.iter().position(|word| word == "--only").and_then(|index| words.get(index + 1)).cloned().unwrap_or_default();
    let small = AutoTokenizer::from_pretrained("builtin:base")?;
    let neox = AutoTokenizer::from_pretrained(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/neox-tokenizer"))?;
    let pythia = || CausalLm::random(NeoxConfig::new(50_304, 512, 6, 8), 0, None, &Device::Cpu);
    println!("| model | one client | {CLIENTS} clients | ratio | first token: one; {CLIENTS} |\n|---|---|---|---|---|");
    for name in ["builtin:base", "pythia-70m's shape, f32", "pythia-70m's shape, bf16", "pythia-70m's shape, Q8_0"] {
        if !name.contains(&only) {
            continue;
        }
        let model = match name {
            "pythia-70m's shape, f32" => pythia()?,
            "pythia-70m's shape, bf16" => pythia()?.to_dtype(DType::BF16)?,
            "pythia-70m's shape, Q8_0" => pythia()?.quantized(GgmlDType::Q8_0)?,
            builtin => AutoModelForCausalLM::from_pretrained(builtin)?,
        };
        let tokenizer = if name.starts_with("builtin:") { &small } else { &neox };
        let server = Server::start(vec![ServedModel::new("model", &model, tokenizer)], ServeConfig::default())?;
        ask(&server.url(), 0);
        let mut rounds: Vec<[[f64; 2]; 2]> = (0..ROUNDS).map(|_| [clients(&server.url(), 1), clients(&server.url(), CLIENTS)]).collect();
        let ratio = |[one, many]: &[[f64; 2]; 2]| many[0] / one[0];
        rounds.sort_by(|a, b| ratio(a).total_cmp(&ratio(b)));
        let round @ [[alone, first], [many, first_of_many]] = rounds[ROUNDS / 2];
        let (ratio, first, first_of_many) = (ratio(&round), 1e3 * first, 1e3 * first_of_many);
        println!("| {name} | {alone:.0} tokens/s | {many:.0} tokens/s | {ratio:.1} | {first:.0} ms; {first_of_many:.0} ms |");
    }
    Ok(())
}

/// Tokens a second of all clients together, and the mean seconds to a first token.
fn clients(url: &str, count: usize) -> [f64; 2] {
    let begun = Instant::now();
    let firsts: Vec<f64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|client| scope.spawn(move || ask(url, client))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or(f64::NAN)).collect()
    });
    [(count * TOKENS) as f64 / begun.elapsed().as_secs_f64(), firsts.iter().sum::<f64>() / count as f64]
}

/// One streamed answer of [`TOKENS`] tokens; the seconds to the first.
fn ask(url: &str, client: usize) -> f64 {
    let prompt: Vec<usize> = (0..PROMPT).map(|position| (client * 31 + position * 7) % 200 + 10).collect();
    let body = json!({ "model": "model", "prompt": prompt, "max_tokens": TOKENS, "min_tokens": TOKENS, "temperature": 0, "stream": true, "stream_options": { "include_usage": true } });
    let begun = Instant::now();
    let response = ureq::post(format!("{url}/completions")).send_json(body).unwrap_or_else(|error| panic!("{error}"));
    let (mut first, mut usage) = (f64::NAN, String::new());
    for line in BufReader::new(response.into_body().into_reader()).lines().map_while(std::io::Result::ok) {
        if first.is_nan() && line.starts_with("data: ") {
            first = begun.elapsed().as_secs_f64();
        }
        if line.contains("completion_tokens") {
            usage = line;
        }
    }
    assert!(usage.contains(&format!("\"completion_tokens\":{TOKENS}")), "{usage}");
    first
}
