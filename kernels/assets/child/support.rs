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
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
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
    let secret = secrets.split(' ').next().unwrap_or_default().to_string();
    // A cell may send its own output elsewhere.
    let out = std::io::stdout().as_fd().try_clone_to_owned().map(File::from).ok();
    std::panic::set_hook(Box::new(move |info| {
        let payload = info.payload();
        let message = payload.downcast_ref::<&str>().map(|text| text.to_string());
        let message = message.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "Box<dyn Any>".into());
        let place = info.location().map(|place| (place.file().to_string(), place.line(), place.column())).unwrap_or_default();
        let trace = match std::env::var("RUST_BACKTRACE").as_deref() {
            Ok("0") | Err(_) => String::new(),
            Ok(_) => std::backtrace::Backtrace::force_capture().to_string(),
        };
        let thread = std::thread::current();
        // This libstd did not start the process, so it has no name for the thread that runs the cells.
        let name = if threads().main == Some(thread.id()) { "main" } else { thread.name().unwrap_or("<unnamed>") };
        let record = format!(
            "\x02K{secret}{{\"panic\":{{\"message\":{},\"file\":{},\"line\":{},\"column\":{},\"thread\":{},\"backtrace\":{}}}}}\n",
            json(&message),
            json(&place.0),
            place.1,
            place.2,
            json(name),
            json(&trace)
        );
        if let Some(mut out) = out.as_ref() {
            let _ = out.write_all(record.as_bytes());
        }
    }));
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
    let is_own = {
        let threads = threads();
        threads.main == Some(std::thread::current().id()) || number.is_some_and(|number| !threads.before.contains(&number))
    };
    // What is dropped on the way out may have loops of its own.
    if is_own && !std::thread::panicking() {
        std::panic::resume_unwind(Box::new("KeyboardInterrupt"));
    }
}

/// The number of the cell that runs, or ran last.
static CELL: AtomicU64 = AtomicU64::new(0);

/// Whether the code of this cell prints from a thread that an earlier cell has left running.
#[unsafe(no_mangle)]
pub extern "C" fn finetuning_is_old(cell: u64) -> bool {
    // A function of an earlier cell, called by the running one, is none.
    CELL.load(Ordering::Relaxed) != cell && threads().main != Some(std::thread::current().id())
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
