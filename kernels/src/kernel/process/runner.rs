//! Lines `LOAD_AND_RUN <library> <function>` → the function is loaded and run in this process.
//!
//! The same protocol as evcxr's own runtime, with four additions: libraries named in the environment are loaded before the
//! first cell, the end of a cell flushes the cell's standard output and is told on both outputs, answers of the user
//! come on the same pipe, which no cell sees, and a cell that does not end is given up when the kernel says so: its thread stands
//! still for ever, and another one runs the next cells.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crate::kernel::interrupt;
use crate::kernel::lock::lock;
use crate::kernel::marks::Marks;
use crate::kernel::process::input::Input;
use crate::kernel::process::lines::{ANSWER, REFUSE};
use crate::kernel::process::{child, frames};
use crate::kernel::rewrite::record::Record;
use crate::spawn;
use crate::system::descriptor::{self, Standard};
use crate::system::library::{Loaded, Variables};
use crate::system::{machine, process, standstill};

/// The library of `assets/child/support.rs`: panic hook, flushes and the end of loops.
pub const SUPPORT: &str = "FINETUNING_SUPPORT";
/// The companion crate, loaded ahead so that the first cell that uses it starts at once.
pub const COMPANION: &str = "FINETUNING_COMPANION";

/// How much stack a thread has that takes the place of another, as the main thread of most systems.
const STACK: usize = 8 << 20;
/// How often the flag of the interrupt is looked at while a cell runs.
const LOOK: Duration = Duration::from_millis(100);

/// What every thread that runs cells needs.
struct Cells {
    instructions: Mutex<Receiver<String>>,
    variables: Variables,
    support: Option<Loaded>,
    input: Arc<Input>,
    out: File,
    err: File,
    marks: Marks,
    record: Option<Record>,
    /// The folder of the libraries of the cells, once there is one.
    folder: Mutex<PathBuf>,
    /// Who looks at the flag of the interrupt.
    watch: Thread,
}

/// Runs cells until there are no more instructions.
pub fn run() -> ! {
    spawn::obey_tie();
    // The supervisor has read the same.
    let Ok(marks) = Marks::of_environment() else { std::process::exit(99) };
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
    let (sender, lines) = channel();
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
    let record = Record::of_environment();
    record.iter().for_each(Record::forget);
    let (give, taken) = channel::<Arc<Cells>>();
    let watch = std::thread::spawn(move || taken.recv().iter().for_each(watch)).thread().clone();
    let (instructions, folder) = (Mutex::new(lines), Mutex::default());
    let cells = Arc::new(Cells { instructions, variables: Variables::new(), support, input, out, err, marks, record, folder, watch });
    cells.hook("finetuning_start");
    let _ = give.send(Arc::clone(&cells));
    cells.work()
}

impl Cells {
    /// Runs one cell after the other on this thread.
    fn work(&self) -> ! {
        loop {
            let line = lock(&self.instructions).recv();
            match line {
                Ok(line) => self.run(&line),
                Err(_) => std::process::exit(0),
            }
        }
    }

    fn run(&self, line: &str) {
        let Some((path, name)) = line.trim_end().strip_prefix("LOAD_AND_RUN ").and_then(|rest| rest.rsplit_once(' ')) else {
            eprintln!("unknown instruction: {line}");
            std::process::exit(99)
        };
        // An earlier cell may have closed them.
        descriptor::reopen(Standard::Output, &self.out);
        descriptor::reopen(Standard::Error, &self.err);
        self.input.begin();
        self.tell(&self.out, frames::RUN);
        let open = if self.record.as_ref().is_some_and(Record::proposes_statics) { Loaded::open_for_all } else { Loaded::open };
        let found = open(path).and_then(|library| library.cell(name));
        *lock(&self.folder) = Path::new(path).parent().map(Path::to_path_buf).unwrap_or_default();
        self.record.iter().for_each(Record::loaded);
        self.hook("finetuning_begin");
        match found {
            // What the cell writes is read by the supervisor's `child::read`.
            Ok(cell) => {
                standstill::begin();
                self.watch.unpark();
                let start = Instant::now();
                self.variables.run(&cell);
                let took = start.elapsed().as_nanos();
                standstill::end();
                // evcxr runs a cell of its own before anyone reads what this process says, and waits until it is read.
                if self.marks.begun().exists() {
                    self.tell(&self.out, &format!("{{\"ran\":{took}}}"));
                }
            }
            Err(error) => {
                eprintln!("cannot load the compiled cell: {error}");
                std::process::exit(99)
            }
        }
        self.end();
    }

    fn end(&self) {
        self.hook("finetuning_flush");
        self.input.end();
        self.tell(&self.out, frames::DONE);
        self.tell(&self.err, frames::DONE);
        // Between cells the machine has it.
        machine::give_back_memory();
    }

    /// Takes the place of a thread that stands still, if the locks that every cell needs are free; if not, this never returns,
    /// and the kernel ends the process.
    fn take_over(&self) -> ! {
        self.hook("finetuning_probe");
        self.tell(&self.out, frames::STOPPED);
        self.tell(&self.out, frames::PANIC);
        self.end();
        self.work()
    }

    fn hook(&self, name: &str) {
        if let Some(hook) = self.support.and_then(|library| library.hook(name)) {
            hook();
        }
    }

    fn tell(&self, mut output: &File, said: &str) {
        if output.write_all(format!("{}{said}\n", self.marks.prefix()).as_bytes()).is_err() {
            std::process::exit(0)
        }
    }
}

/// Looks for the word of the kernel while a cell runs, and gives the cell up.
fn watch(cells: &Arc<Cells>) {
    let flag = std::env::var_os(interrupt::FLAG).unwrap_or_default();
    loop {
        if !standstill::is_running() {
            std::thread::park();
            continue;
        }
        std::thread::park_timeout(LOOK);
        let is_told = std::fs::read(&flag).is_ok_and(|text| text == interrupt::GIVE_UP);
        if is_told && standstill::order(&lock(&cells.folder)) {
            let next = Arc::clone(cells);
            let started = std::thread::Builder::new().name(standstill::NEXT.into()).stack_size(STACK).spawn(move || next.take_over());
            if started.is_err() {
                std::process::exit(99)
            }
        }
    }
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
