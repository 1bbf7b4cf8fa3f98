//! A panic in a cell → a record for the kernel, and an interrupt → the end of the cell's loops; compiled by rustc when the kernel
//! is first started, not by cargo.
//!
//! The cells and this library share one libstd, so the hook and the flushes below act on the cells' own panics and output.
//! Neither waits for the lock of standard output, which a cell may hold for as long as it likes.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::ThreadId;
use std::time::Duration;

/// How long text without a newline stays in the buffer of standard output.
const FLUSH: Duration = Duration::from_millis(80);
/// How long the end of a cell waits for the flush, when a thread holds standard output.
const PATIENCE: Duration = Duration::from_millis(300);

/// What the flushing thread is to do, and has done.
struct Work {
    runs: bool,
    cell: u64,
    /// Whether the end of a cell waits for a flush.
    asked: bool,
    /// Whether there is no such thread.
    alone: bool,
}

/// Of how many panics of one cell it is found out how the cell came there.
const TRACED: usize = 20;
/// How many of its calls are told.
const MOST_CALLS: usize = 200;

/// The panics of the running cell.
static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Whether the loops of the running cell are to end.
#[unsafe(no_mangle)]
pub static FINETUNING_STOPS: AtomicBool = AtomicBool::new(false);

/// Whether a cell takes its variables, or hands them back.
#[unsafe(no_mangle)]
pub static FINETUNING_STORES: AtomicBool = AtomicBool::new(false);

/// How many threads stand still for ever, each perhaps with the lock of a runtime.
#[unsafe(no_mangle)]
pub static FINETUNING_STOPPED: AtomicUsize = AtomicUsize::new(0);

/// How long the companion's own loops may take to end as they like, before those of the cell do.
const GRACE: Duration = Duration::from_millis(400);

/// Who was there when the cell began: the thread that runs it, and the numbers of all.
struct Threads {
    main: Option<ThreadId>,
    before: Vec<OsString>,
}

static THREADS: Mutex<Threads> = Mutex::new(Threads { main: None, before: Vec::new() });

fn threads() -> MutexGuard<'static, Threads> {
    THREADS.lock().unwrap_or_else(PoisonError::into_inner)
}

static WORK: Mutex<Work> = Mutex::new(Work { runs: false, cell: 0, asked: false, alone: false });
static CHANGED: Condvar = Condvar::new();

fn work() -> MutexGuard<'static, Work> {
    WORK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where the kernel reads records, and the secret of its marks.
static KERNEL: OnceLock<(File, String)> = OnceLock::new();

/// Tells the kernel a record.
fn say(record: &str) {
    if let Some((out, secret)) = KERNEL.get() {
        let mut out = out;
        let _ = out.write_all(format!("\x02K{secret}{record}\n").as_bytes());
    }
}

/// Sets the panic hook and starts the thread that flushes while a cell runs.
#[unsafe(no_mangle)]
pub extern "C" fn finetuning_start() {
    // Without a thread, text without a newline comes at the end of the cell.
    let flusher = std::thread::Builder::new().name("flush".into()).stack_size(64 << 10).spawn(flush_while_a_cell_runs);
    work().alone = flusher.is_err();
    if let Some(flag) = std::env::var_os("FINETUNING_INTERRUPT") {
        let _ = std::thread::Builder::new().name("interrupt".into()).stack_size(64 << 10).spawn(move || look_for_an_interrupt(flag.as_ref()));
    }
    let secrets = std::env::var_os("FINETUNING_MARKS").and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
    // A cell may send its own output elsewhere.
    if let Ok(out) = std::io::stdout().as_fd().try_clone_to_owned() {
        let _ = KERNEL.set((File::from(out), secrets.split(' ').next().unwrap_or_default().to_string()));
    }
    std::panic::set_hook(Box::new(move |info| {
        let payload = info.payload();
        let message = payload.downcast_ref::<&str>().map(|text| text.to_string());
        let message = message.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "Box<dyn Any>".into());
        let place = info.location().map(|place| (place.file().to_string(), place.line(), place.column())).unwrap_or_default();
        // A cell may catch thousands of panics, and a trace takes milliseconds.
        let few = PANICS.fetch_add(1, Ordering::Relaxed) < TRACED;
        let wanted = !matches!(std::env::var("RUST_BACKTRACE").as_deref(), Ok("0") | Err(_));
        let trace = (few || wanted).then(std::backtrace::Backtrace::force_capture);
        // With the addresses, which the kernel understands where the standard library does not.
        let calls = trace.as_ref().map(|trace| calls(&format!("{trace:#}"))).unwrap_or_default();
        let trace = trace.filter(|_| wanted).map(|trace| trace.to_string()).unwrap_or_default();
        let thread = std::thread::current();
        // This libstd did not start the process, so it has no name for the thread that runs the cells.
        let name = if threads().main == Some(thread.id()) { "main" } else { thread.name().unwrap_or("<unnamed>") };
        let record = format!(
            "{{\"panic\":{{\"message\":{},\"file\":{},\"line\":{},\"column\":{},\"thread\":{},\"calls\":[{calls}],\"backtrace\":{}}}}}",
            json(&message),
            json(&place.0),
            place.1,
            place.2,
            json(name),
            json(&trace)
        );
        say(&record);
    }));
}

/// The calls from libraries of cells in a backtrace, the last one first: each as a list of a file and an address in it.
fn calls(trace: &str) -> String {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    // Where each library of a cell begins, and each piece of it, which are in order.
    let mut pieces: Vec<(u64, u64, u64, &str)> = Vec::new();
    for line in maps.lines() {
        let Some(file) = line.find('/').map(|at| &line[at..]).filter(|file| file.contains("/libcode_")) else { continue };
        let Some((start, rest)) = line.split_once('-') else { continue };
        let end = rest.split(' ').next().unwrap_or_default();
        let (Ok(start), Ok(end)) = (u64::from_str_radix(start, 16), u64::from_str_radix(end, 16)) else { continue };
        // The same file may be open elsewhere too.
        let base = pieces.last().filter(|last| last.3 == file && last.1 == start).map_or(start, |last| last.2);
        pieces.push((start, end, base, file));
    }
    let (mut calls, mut last) = (Vec::new(), 0);
    for line in trace.lines() {
        // `3: 0x7f00 - name`
        let Some((_, rest)) = line.trim().split_once(": 0x").or_else(|| line.trim().split_once(":     0x")) else { continue };
        let digits = rest.split(|char: char| !char.is_ascii_hexdigit()).next().unwrap_or_default();
        // An address is that of the instruction behind the call.
        let Some(call) = u64::from_str_radix(digits, 16).ok().and_then(|address| address.checked_sub(1)) else { continue };
        if let Some((_, _, base, file)) = pieces.iter().find(|(start, end, ..)| (*start..*end).contains(&call)) {
            // Functions that became a part of their caller have its address, and so has each turn of a recursion.
            if call != last {
                calls.push(format!("[{},{}]", json(file), call - base));
                last = call;
            }
        }
    }
    // A function that calls itself without end has no end here either.
    calls.truncate(MOST_CALLS);
    calls.join(",")
}

fn flush_while_a_cell_runs() {
    loop {
        let mut now = work();
        while !now.runs && !now.asked {
            now = CHANGED.wait(now).unwrap_or_else(PoisonError::into_inner);
        }
        if !now.asked {
            now = CHANGED.wait_timeout(now, FLUSH).unwrap_or_else(PoisonError::into_inner).0;
        }
        let asked = now.asked;
        drop(now);
        let _ = std::io::stdout().flush();
        // Who has asked since then wants another one.
        if asked {
            work().asked = false;
            CHANGED.notify_all();
        }
    }
}

/// Sets the switch that the loops of a running cell look at, some time after the user has asked.
fn look_for_an_interrupt(flag: &Path) {
    loop {
        let mut now = work();
        while !now.runs {
            now = CHANGED.wait(now).unwrap_or_else(PoisonError::into_inner);
        }
        let waited = CHANGED.wait_timeout(now, FLUSH).unwrap_or_else(PoisonError::into_inner).0;
        let cell = waited.cell;
        drop(waited);
        if flag.exists() {
            std::thread::sleep(GRACE);
            let now = work();
            if now.runs && now.cell == cell && flag.exists() {
                FINETUNING_STOPS.store(true, Ordering::SeqCst);
            }
        }
    }
}

/// A loop of a cell has seen the switch: it ends here, if it is the running cell's own.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn finetuning_stop() {
    let number = std::fs::read_link("/proc/thread-self").ok().and_then(|path| path.file_name().map(OsString::from));
    let (is_main, is_own) = {
        let threads = threads();
        let is_main = threads.main == Some(std::thread::current().id());
        (is_main, is_main || number.is_some_and(|number| !threads.before.contains(&number)))
    };
    // What is dropped on the way out may have loops of its own.
    if is_own && !std::thread::panicking() {
        say(&format!("{{\"unwinds\":{{\"main\":{is_main}}}}}"));
        std::panic::resume_unwind(Box::new("KeyboardInterrupt"));
    }
}

/// The number of the cell that runs, or ran last.
static CELL: AtomicU64 = AtomicU64::new(0);

/// Whether the code of this cell prints from a thread that an earlier cell has left running.
fn is_old(cell: u64) -> bool {
    // A function of an earlier cell, called by the running one, is none.
    CELL.load(Ordering::Relaxed) != cell && threads().main != Some(std::thread::current().id())
}

/// A mark of the kernel: a line of standard output of its own. Here and not in the cells, which are compiled all the time.
#[unsafe(no_mangle)]
pub fn finetuning_mark(secret: &str, kind: &str, text: &str) {
    let text = text.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r");
    print!("\x02K{secret}{kind}{text}\n");
    let _ = std::io::stdout().flush();
}

/// Prints for the cell with a number; what a thread of an earlier cell prints goes to that cell.
#[unsafe(no_mangle)]
pub fn finetuning_print(secret: &str, cell: &str, stream: &str, text: std::fmt::Arguments<'_>, end: &str) {
    if cell.parse().is_ok_and(is_old) {
        return finetuning_mark(secret, "S", &format!("{cell} {stream} {text}{end}"));
    }
    match stream {
        "stderr" => eprint!("{text}{end}"),
        _ => print!("{text}{end}"),
    }
}

/// A cell begins, on this thread.
#[unsafe(no_mangle)]
pub extern "C" fn finetuning_begin() {
    let state = std::env::var_os("FINETUNING_STATE").and_then(|folder| std::fs::read_to_string(Path::new(&folder).join("cell")).ok());
    let number = state.and_then(|text| text.split_whitespace().next()?.parse().ok());
    CELL.store(number.unwrap_or_default(), Ordering::Relaxed);
    let all = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten().map(|thread| thread.file_name());
    *threads() = Threads { main: Some(std::thread::current().id()), before: all.collect() };
    FINETUNING_STOPS.store(false, Ordering::SeqCst);
    PANICS.store(0, Ordering::Relaxed);
    let mut now = work();
    (now.runs, now.cell) = (true, now.cell + 1);
    drop(now);
    CHANGED.notify_all();
}

/// A thread stands still for ever. Returns if it has left free what every cell needs: the variables, the memory, both outputs,
/// the environment, and what a new thread takes.
#[unsafe(no_mangle)]
pub extern "C" fn finetuning_probe() {
    while FINETUNING_STORES.load(Ordering::SeqCst) {
        std::thread::park();
    }
    let _ = std::io::stdout().flush();
    let _ = std::io::stderr().flush();
    drop((vec![std::env::var_os("PATH"); 1 << 10], threads(), work()));
    let _ = std::thread::spawn(|| drop(vec![0_u8; 1 << 20])).join();
    FINETUNING_STOPPED.fetch_add(1, Ordering::SeqCst);
}

/// A cell has ended: writes out what it printed without a newline, unless a thread holds standard output.
#[unsafe(no_mangle)]
pub extern "C" fn finetuning_flush() {
    FINETUNING_STOPS.store(false, Ordering::SeqCst);
    let mut now = work();
    now.runs = false;
    if now.alone {
        let _ = std::io::stdout().flush();
        return;
    }
    now.asked = true;
    CHANGED.notify_all();
    let _ = CHANGED.wait_timeout_while(now, PATIENCE, |now| now.asked);
}

fn json(text: &str) -> String {
    let mut quoted = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            char if char < ' ' => quoted.push_str(&format!("\\u{:04x}", char as u32)),
            char => quoted.push(char),
        }
    }
    quoted + "\""
}
