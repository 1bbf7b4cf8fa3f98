//! A panic in a cell → a record on stdout; compiled by rustc when the kernel is first started, not by cargo.
//!
//! The cells and this library share one libstd, so the hook and the flushes below act on the cells' own panics and output.

use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::Duration;

/// How long text without a newline stays in the buffer of standard output.
const FLUSH: Duration = Duration::from_millis(80);

static RUNS: AtomicBool = AtomicBool::new(false);
static FLUSHER: OnceLock<Thread> = OnceLock::new();

/// Sets the panic hook and starts the thread that flushes while a cell runs.
#[unsafe(no_mangle)]
pub extern "C" fn finetuning_start() {
    // Without a thread, text without a newline comes at the end of the cell.
    if let Ok(flusher) = std::thread::Builder::new().name("flush".into()).stack_size(64 << 10).spawn(flush_while_a_cell_runs) {
        let _ = FLUSHER.set(flusher.thread().clone());
    }
    // This libstd did not start the process, so it has no name for the thread that runs the cells.
    let main = std::thread::current().id();
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
        let name = if thread.id() == main { "main" } else { thread.name().unwrap_or("<unnamed>") };
        let record = format!(
            "\x02K{{\"panic\":{{\"message\":{},\"file\":{},\"line\":{},\"column\":{},\"thread\":{},\"backtrace\":{}}}}}\n",
            json(&message),
            json(&place.0),
            place.1,
            place.2,
            json(name),
            json(&trace)
        );
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(record.as_bytes()).and_then(|()| out.flush());
    }));
}

fn flush_while_a_cell_runs() {
    loop {
        while !RUNS.load(Ordering::SeqCst) {
            std::thread::park();
        }
        std::thread::sleep(FLUSH);
        let _ = std::io::stdout().flush();
    }
}

/// A cell begins.
#[unsafe(no_mangle)]
pub extern "C" fn finetuning_begin() {
    RUNS.store(true, Ordering::SeqCst);
    if let Some(flusher) = FLUSHER.get() {
        flusher.unpark();
    }
}

/// A cell has ended: writes out what it printed without a newline.
#[unsafe(no_mangle)]
pub extern "C" fn finetuning_flush() {
    RUNS.store(false, Ordering::SeqCst);
    let _ = std::io::stdout().flush();
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
