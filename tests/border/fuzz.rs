//! 20,000 changed files of each kind: no panic of ours, no abort, no hang, no memory beyond the limits.
//!
//! `FINETUNING_FUZZ=1000000` reads as many of each kind, `FINETUNING_FUZZ_SEED` begins elsewhere. An input that fails is kept in
//! the temporary folder, and the command that makes it again is printed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::process::harness;
use crate::support::fresh_folder;

/// Inputs of a process: a new one begins without what the last has left in memory.
const BATCH: u64 = 20_000;
/// Kilobytes of addresses that a process may have: its program, its threads' stacks, and what the limits allow.
const ADDRESSES: u64 = 4 << 20;
/// What a batch takes at most on a slow machine; beyond it hangs.
const PATIENCE: Duration = Duration::from_secs(1800);

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Runs `harness fuzz` under a limit of addresses; its last line, or why it failed.
fn batch(target: &str, seed: u64, count: u64, folder: &Path) -> Result<String, String> {
    let program = harness("fuzz").get_program().to_os_string();
    let output = folder.join("output");
    let log = || Stdio::from(std::fs::File::options().append(true).create(true).open(&output).unwrap());
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -c 0; ulimit -v {ADDRESSES}; exec \"$0\" \"$@\"")]).arg(program);
    command.args(["fuzz", target, &seed.to_string(), &count.to_string()]).arg(folder);
    command.env("HF_HUB_OFFLINE", "1").env("HF_HOME", folder.join("hub")).env("RAYON_NUM_THREADS", "2").env_remove("RUST_BACKTRACE");
    let mut child = command.stdin(Stdio::null()).stdout(log()).stderr(log()).spawn().unwrap();
    let start = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break Some(status),
            None if start.elapsed() > PATIENCE => {
                child.kill().unwrap();
                child.wait().unwrap();
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let said = std::fs::read_to_string(&output).unwrap_or_default();
    let last = said.lines().rev().find(|line| line.starts_with(target) || line.starts_with("input ")).unwrap_or_default().to_string();
    match status {
        Some(status) if status.success() => Ok(last),
        Some(status) => Err(format!("{status}: {last}\n{}", said.lines().rev().take(5).collect::<Vec<_>>().join("\n"))),
        None => Err(format!("nothing came of it in {PATIENCE:?}")),
    }
}

/// A fresh folder, in memory where the system has such: a disk would cost more than the readers.
fn folder_in_memory() -> PathBuf {
    let fresh = fresh_folder();
    let in_memory = Path::new("/dev/shm").join(fresh.file_name().unwrap());
    if std::fs::create_dir(&in_memory).is_err() {
        return fresh;
    }
    std::fs::remove_dir(fresh).unwrap();
    in_memory
}

/// Reads the inputs of one kind.
fn survives(target: &str) {
    let (count, first) = (number("FINETUNING_FUZZ", BATCH), number("FINETUNING_FUZZ_SEED", 1));
    for seed in (first..first + count).step_by(BATCH as usize) {
        let folder = folder_in_memory();
        match batch(target, seed, BATCH.min(first + count - seed), &folder) {
            Ok(said) => println!("{said}"),
            Err(why) => {
                let number = std::fs::read_to_string(folder.join("number")).unwrap_or_default().trim().to_string();
                panic!(
                    "{target}, input {number}: {why}\nits files are in {}\nagain: cargo run -p course-tests --bin harness -- fuzz {target} {number} 1 {}",
                    folder.display(),
                    PathBuf::from("/tmp/again").display()
                );
            }
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

macro_rules! kinds {
    ($($name:ident $target:literal)*) => {
        $(#[test]
        fn $name() {
            survives($target);
        })*
    };
}

kinds! {
    configurations "config"
    tokenizers "tokenizer"
    chat_templates "template"
    gguf_files "gguf"
    safetensors_files "safetensors"
    parquet_files "parquet"
    files_of_rows "rows"
    adapters "adapter"
    checkpoints "checkpoint"
}
