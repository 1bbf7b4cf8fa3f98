//! Lines `LOAD_AND_RUN <library> <function>` on stdin → the function is loaded and run in this process.
//!
//! The same protocol as evcxr's own runtime, with two additions: libraries named in the environment are loaded before the
//! first cell, and the end of a cell flushes the cell's standard output and is told on both outputs.

use std::fs::File;
use std::io::{BufRead, Write};
use std::os::fd::AsFd;

use crate::kernel::process::{child, frames};
use crate::spawn;
use crate::system::descriptor::{self, Standard};
use crate::system::library::{Loaded, Variables};
use crate::system::{machine, process};

/// The library of `assets/child/support.rs`: panic hook and flushes.
pub const SUPPORT: &str = "FINETUNING_SUPPORT";
/// The companion crate, loaded ahead so that the first cell that uses it starts at once.
pub const COMPANION: &str = "FINETUNING_COMPANION";

/// Runs cells until stdin closes.
pub fn run() -> ! {
    spawn::obey_tie();
    process::forget_variables(&[child::RUNNER]);
    // When memory runs out, the system shall end the cell, not the kernel. Not on every system.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    // Frames arrive also when a cell sends its own output elsewhere.
    let kept = [descriptor::keep(std::io::stdout().as_fd()), descriptor::keep(std::io::stderr().as_fd())];
    let [Ok(out), Ok(err)] = kept else {
        // Without descriptors left, the process would not get far either.
        std::process::exit(99)
    };
    process::obey_wake();
    // Cells train: a pass after the other in the same memory.
    machine::keep_freed_memory();
    // A failure shows up again, with a message, in the first cell that needs the library.
    let preload = |variable: &str| Loaded::open(std::env::var_os(variable)?).ok();
    let (support, _companion) = (preload(SUPPORT), preload(COMPANION));
    let hook = |name: &str| support.and_then(|library| library.hook(name));
    if let Some(start) = hook("finetuning_start") {
        start();
    }
    let (begin, flush) = (hook("finetuning_begin"), hook("finetuning_flush"));
    let mut variables = Variables::new();
    let mut input = std::io::stdin().lock();
    let mut line = String::new();
    loop {
        // The supervisor may have refused a question of the last cell.
        descriptor::wait_for_input(input.as_fd(), true);
        line.clear();
        match input.read_line(&mut line) {
            Ok(1..) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            _ => break,
        }
        let Some((path, name)) = line.trim_end().strip_prefix("LOAD_AND_RUN ").and_then(|rest| rest.rsplit_once(' ')) else {
            eprintln!("unknown instruction: {line}");
            std::process::exit(99)
        };
        // An earlier cell may have closed them.
        descriptor::reopen(Standard::Output, &out);
        descriptor::reopen(Standard::Error, &err);
        tell(&out, frames::RUN);
        let found = Loaded::open(path).and_then(|library| library.cell(name));
        if let Some(run) = begin {
            run();
        }
        match found {
            // What the cell writes is read by the supervisor's `child::read`.
            Ok(cell) => variables.run(&cell),
            Err(error) => {
                eprintln!("cannot load the compiled cell: {error}");
                std::process::exit(99)
            }
        }
        if let Some(flush) = flush {
            flush();
        }
        tell(&out, frames::DONE);
        tell(&err, frames::DONE);
        // Between cells the machine has it.
        machine::give_back_memory();
    }
    std::process::exit(0)
}

fn tell(mut output: &File, frame: &str) {
    if output.write_all(format!("{frame}\n").as_bytes()).is_err() {
        std::process::exit(0)
    }
}
