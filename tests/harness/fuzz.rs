//! A reader, a seed and a count → that many changed files read, in a process that may die of one.
//!
//! The input that is read at the moment stands in the folder, its number in `number`: whoever started this process finds both
//! when it is dead. A panic that leaves our code, and one that our own code began, are failures; so is memory beyond [`MEMORY`].

use std::io::{Seek, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use finetuning::Error;
use finetuning::util::memory::peak_memory;
use support::mutation::input;

use crate::readers::reader;

/// Bytes by which a reader of these small files may raise the memory of the process.
const MEMORY: usize = 512 << 20;
/// Inputs between two looks at the memory.
const STRIDE: u64 = 64;

/// Reads inputs `seed`, `seed + 1` and so on; exit code 4 for a failure, with the number of the input.
pub fn fuzz(target: &str, seed: u64, count: u64, folder: &Path) {
    let mut reader = reader(target, folder);
    // Each panic is told with the number of its input; where it began, the library remembers.
    finetuning::util::panic::watch();
    let before = peak_memory();
    let mut place = std::fs::File::create(folder.join("number")).unwrap();
    let (mut accepted, mut refused, mut faults) = (0u64, 0u64, 0u64);
    let mut slowest = (Duration::ZERO, seed);
    for number in seed..seed + count {
        let (name, bytes) = input(&reader.corpus, reader.words, number);
        // Always as long, so that no older number shows behind it.
        place.rewind().and_then(|()| write!(place, "{number:20}")).unwrap();
        std::fs::write(folder.join(&name), &bytes).unwrap();
        let start = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| (reader.read)(&name)));
        slowest = slowest.max((start.elapsed(), number));
        match result {
            Err(payload) => failed(number, &finetuning::util::panic::error(finetuning::ErrorKind::File, payload.as_ref()).to_string()),
            Ok(Err(error)) => match fault(&error) {
                Some(own) if own => failed(number, &error.to_string()),
                Some(_) => faults += 1,
                None => refused += 1,
            },
            Ok(Ok(())) => accepted += 1,
        }
        let grown = peak_memory_now(number, before);
        if grown > MEMORY {
            failed(number, &format!("up to here the memory has grown by {} MB", grown >> 20));
        }
        // The next input finds the file as it was, unless it changes it itself.
        (reader.restore)(&name);
    }
    let (time, number) = slowest;
    println!(
        "{target}: {count} inputs from {seed}: {accepted} accepted, {refused} refused, {faults} panics of libraries caught; slowest {} ms ({number}); memory +{} MB",
        time.as_millis(),
        (peak_memory() - before) >> 20
    );
}

fn peak_memory_now(number: u64, before: usize) -> usize {
    if number.is_multiple_of(STRIDE) { peak_memory().saturating_sub(before) } else { 0 }
}

/// Whether an error is a panic that was caught, and then whether it began in our own code.
fn fault(error: &Error) -> Option<bool> {
    let text = error.to_string();
    let (_, place) = text.split_once("the program has a fault: ")?;
    Some(place.contains("(lib/") || place.contains("finetuning"))
}

fn failed(number: u64, why: &str) {
    println!("input {number}: {why}");
    std::process::exit(4);
}
