//! Lines `LOAD_AND_RUN <library> <function>` → the function is loaded and run in this process.
//!
//! The same protocol as evcxr's own runtime, with three additions: libraries named in the environment are loaded before the
//! first cell, the end of a cell flushes the cell's standard output and is told on both outputs, and answers of the user
//! come on the same pipe, which no cell sees.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Instant;

use crate::kernel::marks::Marks;
use crate::kernel::process::input::Input;
use crate::kernel::process::lines::{ANSWER, REFUSE};
use crate::kernel::process::{child, frames};
use crate::kernel::rewrite::record::Record;
use crate::spawn;
use crate::system::descriptor::{self, Standard};
use crate::system::library::{Loaded, Variables};
use crate::system::{machine, process};

/// The library of `assets/child/support.rs`: panic hook, flushes and the end of loops.
pub const SUPPORT: &str = "FINETUNING_SUPPORT";
/// The companion crate, loaded ahead so that the first cell that uses it starts at once.
pub const COMPANION: &str = "FINETUNING_COMPANION";

/// Runs cells until there are no more instructions.
pub fn run() -> ! {
    spawn::obey_tie();
    // The supervisor has read the same.
    let Ok(marks) = Marks::of_environment() else { std::process::exit(99) };
    let tell = |output: &File, said: &str| tell(output, &format!("{}{said}", marks.prefix()));
    process::forget_variables(&[child::RUNNER]);
    // When memory runs out, the system shall end the cell, not the kernel. Not on every system.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    // Frames arrive also when a cell sends its own output elsewhere, and instructions also when it reads all of its input.
    let kept = [
        descriptor::keep(std::io::stdin().as_fd()),
        descriptor::keep(std::io::stdout().as_fd()),
        descriptor::keep(std::io::stderr().as_fd()),
    ];
    let ([Ok(instructions), Ok(out), Ok(err)], Ok(input)) = (kept, Input::new()) else {
        // Without descriptors left, the process would not get far either.
        std::process::exit(99)
    };
    let (sender, cells) = channel();
    let input = Arc::new(input);
    let answered = Arc::clone(&input);
    std::thread::spawn(move || obey(instructions, &answered, &sender));
    process::obey_wake();
    // Cells train: a pass after the other in the same memory.
    machine::keep_freed_memory();
    // A failure shows up again, with a message, in the first cell that needs the library.
    let preload = |variable: &str| Loaded::open(std::env::var_os(variable)?).ok();
    // The cells find in the first what their loops look at.
    let support = std::env::var_os(SUPPORT).and_then(|library| Loaded::open_for_all(library).ok());
    let _companion = preload(COMPANION);
    let hook = |name: &str| support.and_then(|library| library.hook(name));
    if let Some(start) = hook("finetuning_start") {
        start();
    }
    let (begin, flush) = (hook("finetuning_begin"), hook("finetuning_flush"));
    let record = Record::of_environment();
    record.iter().for_each(Record::forget);
    let mut variables = Variables::new();
    for line in cells {
        let Some((path, name)) = line.trim_end().strip_prefix("LOAD_AND_RUN ").and_then(|rest| rest.rsplit_once(' ')) else {
            eprintln!("unknown instruction: {line}");
            std::process::exit(99)
        };
        // An earlier cell may have closed them.
        descriptor::reopen(Standard::Output, &out);
        descriptor::reopen(Standard::Error, &err);
        input.begin();
        tell(&out, frames::RUN);
        let open = if record.as_ref().is_some_and(Record::proposes_statics) { Loaded::open_for_all } else { Loaded::open };
        let found = open(path).and_then(|library| library.cell(name));
        record.iter().for_each(Record::loaded);
        if let Some(run) = begin {
            run();
        }
        match found {
            // What the cell writes is read by the supervisor's `child::read`.
            Ok(cell) => {
                let start = Instant::now();
                variables.run(&cell);
                let took = start.elapsed().as_nanos();
                // evcxr runs a cell of its own before anyone reads what this process says, and waits until it is read.
                if marks.begun().exists() {
                    tell(&out, &format!("{{\"ran\":{took}}}"));
                }
            }
            Err(error) => {
                eprintln!("cannot load the compiled cell: {error}");
                std::process::exit(99)
            }
        }
        if let Some(flush) = flush {
            flush();
        }
        input.end();
        tell(&out, frames::DONE);
        tell(&err, frames::DONE);
        // Between cells the machine has it.
        machine::give_back_memory();
    }
    std::process::exit(0)
}

/// Passes on instructions for the thread that runs cells, and answers to the cell that runs, until there are no more.
fn obey(instructions: File, input: &Input, cells: &Sender<String>) {
    for line in BufReader::new(instructions).lines().map_while(Result::ok) {
        match line.strip_prefix(ANSWER) {
            Some(answer) => input.answer(answer),
            None if line == REFUSE => input.refuse(),
            None => {
                let _ = cells.send(line);
            }
        }
    }
}

fn tell(mut output: &File, frame: &str) {
    if output.write_all(format!("{frame}\n").as_bytes()).is_err() {
        std::process::exit(0)
    }
}
