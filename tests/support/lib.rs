//! What several tests need, and the programs that they start: fixture files, fresh folders, closeness, a hub of this machine.

pub mod chat;
pub mod exported;
pub mod finetuned;
pub mod hub;
pub mod killed;
pub mod mutation;
pub mod wire;
pub mod workbook;

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use finetuning::compute::cpu::activation::scramble;
use finetuning::*;
use serde_json::Value;

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A file or folder of `tests/fixtures`.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// A fixture's JSON.
pub fn json(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(fixture(name)).unwrap()).unwrap()
}

/// A fixture's tensors.
pub fn tensors(name: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(fixture(name), &Device::Cpu).unwrap()
}

/// All numbers of a nested JSON array.
pub fn numbers(value: &Value) -> Vec<f32> {
    match value {
        Value::Array(items) => items.iter().flat_map(numbers).collect(),
        Value::Null => Vec::new(),
        number => vec![number.as_f64().unwrap() as f32],
    }
}

/// All ids of a nested JSON array.
pub fn ids(value: &Value) -> Vec<u32> {
    numbers(value).iter().map(|&id| id as u32).collect()
}

/// How far two lists of numbers are apart at most.
pub fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// An empty folder that no other test uses.
pub fn fresh_folder() -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = format!("finetuning-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let path = std::env::temp_dir().join(name);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// Fails where 64 times as much work takes more than 1,500 times as long: the square would be 4,096 times, and an input of a few
/// megabytes take hours; what other programs take of the processor meanwhile is less. `work` does so much of it and says how long
/// that took.
#[track_caller]
pub fn grows_evenly(name: &str, small: usize, work: impl Fn(usize) -> Duration) {
    let least = (0..5).map(|_| work(small)).min().unwrap_or_default().max(Duration::from_micros(100));
    // Other work on the machine makes one turn slow, not three.
    let mut most = Duration::MAX;
    for _ in 0..3 {
        most = most.min(work(64 * small));
        if most < 1500 * least {
            break;
        }
    }
    assert!(most < 1500 * least, "{name}: {least:?} for {small}, {most:?} for {}", 64 * small);
}

/// How long something takes.
pub fn time<T>(work: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    std::hint::black_box(work());
    start.elapsed()
}

/// Says that a test cannot run on this machine, past the capture of the tests' output: `.ci/run` counts these lines and takes
/// them from the tests that passed.
pub fn skipped(why: impl std::fmt::Display) {
    let thread = std::thread::current();
    let _ = writeln!(std::io::stderr(), "skipped: {}: {why}", thread.name().unwrap_or("a test"));
}

/// The values of a tensor.
pub fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Fails when two arrays differ by more than `absolute + relative · largest`.
#[track_caller]
pub fn assert_close(name: &str, ours: &[f32], theirs: &[f32], absolute: f32, relative: f32) {
    assert_eq!(ours.len(), theirs.len(), "{name}: lengths");
    let largest = theirs.iter().fold(0f32, |largest, x| largest.max(x.abs()));
    let worst = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
    assert!(ours.iter().all(|x| x.is_finite()), "{name}: not finite");
    assert!(worst <= absolute + relative * largest, "{name}: differs by {worst:e}, allowed {:e}", absolute + relative * largest);
}

/// Fails unless the result is an error whose text has these parts and a hint.
#[track_caller]
pub fn refused<T>(result: Result<T>, parts: &[&str]) {
    let Err(error) = result else { panic!("must be refused: {parts:?}") };
    let text = error.to_string();
    for part in parts.iter().chain(&["hint: "]) {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
}

/// The checkpoint of the fixtures with GPT-NeoX's shape.
pub fn tiny_neox() -> CausalLm {
    CausalLm::from_folder(&fixture("tiny-neox"), &Device::Cpu).unwrap()
}

/// A small random model with weights large enough that every path matters.
pub fn tiny_model(seed: u64) -> CausalLm {
    noisy(
        CausalLm::random(NeoxConfig { max_position_embeddings: 64, ..NeoxConfig::new(96, 32, 2, 4) }, seed, None, &Device::Cpu).unwrap(),
        seed,
    )
}

/// The same of the Llama family: four heads over two groups.
pub fn tiny_llama(seed: u64, tied: bool) -> CausalLm {
    tiny_llama_of(48, seed, tied)
}

/// [`tiny_llama`] with a feed-forward layer of another width.
pub fn tiny_llama_of(inner: usize, seed: u64, tied: bool) -> CausalLm {
    let config = LlamaConfig { max_position_embeddings: 64, tie_word_embeddings: tied, ..LlamaConfig::new(96, 32, inner, 2, [4, 2]) };
    noisy(CausalLm::random(config, seed, None, &Device::Cpu).unwrap(), seed)
}

/// Normal noise of 0.1 on all weights, the same in every run.
pub fn noisy(model: CausalLm, seed: u64) -> CausalLm {
    noisy_where(model, seed, |_| true)
}

/// [`noisy`] of some weights: twelve even numbers make a normal one.
pub fn noisy_where(model: CausalLm, seed: u64, changes: impl Fn(&str) -> bool) -> CausalLm {
    let mut place = scramble(seed);
    let mut even = || {
        place = place.wrapping_add(1);
        scramble(place) as f64 / u64::MAX as f64
    };
    for (_, var) in model.weights().iter().filter(|(name, _)| changes(name)) {
        let noise: Vec<f32> = (0..var.elem_count()).map(|_| 0.1 * ((0..12).map(|_| even()).sum::<f64>() - 6.0) as f32).collect();
        let noise = Tensor::from_vec(noise, var.shape(), &Device::Cpu).unwrap();
        var.set(&(var.as_tensor() + noise).unwrap()).unwrap();
    }
    model
}

/// Rows of ids, all learnt.
pub fn rows(ids: &[Vec<u32>]) -> TokenizedDataset {
    let row =
        |ids: &Vec<u32>| Encoding { input_ids: ids.clone(), attention_mask: vec![1; ids.len()], labels: ids.clone(), prompt_length: 0 };
    TokenizedDataset::from_rows(ids.iter().map(row).collect())
}

/// Deterministic rows of different lengths for [`tiny_model`].
pub fn tiny_rows(count: usize) -> TokenizedDataset {
    let row = |index: usize| (0..5 + index % 7).map(|position| ((index * 31 + position * 17 + 3) % 96) as u32).collect();
    rows(&(0..count).map(row).collect::<Vec<Vec<u32>>>())
}
