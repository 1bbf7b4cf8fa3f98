//! Lines `LOAD_AND_RUN <library> <function>` on stdin → the function is loaded and run in this process.
//!
//! The same protocol as evcxr's own runtime, with two additions: libraries named in the environment are loaded before the
//! first cell, and the end of a cell flushes the cell's standard output and marks both outputs.

use std::ffi::c_void;
use std::io::{BufRead, Write};

use libloading::Library;

/// The library of `support.rs`: panic hook and flush.
pub const SUPPORT: &str = "FINETUNING_SUPPORT";
/// The companion crate, loaded ahead so that the first cell that uses it starts at once.
pub const COMPANION: &str = "FINETUNING_COMPANION";

type Cell = extern "C" fn(*mut c_void) -> *mut c_void;

/// Runs cells until stdin closes.
pub fn run() -> ! {
    super::child::die_with_parent();
    // SAFETY: no other thread runs yet.
    unsafe { std::env::remove_var(super::child::RUNNER) };
    let support = preload(SUPPORT);
    let _companion = preload(COMPANION);
    let hook = |name: &str| {
        // SAFETY: both functions of support.rs have this type.
        support.as_ref().and_then(|library| unsafe { library.get::<extern "C" fn()>(name.as_bytes()).ok() }).map(|f| *f)
    };
    if let Some(start) = hook("finetuning_start") {
        start();
    }
    let flush = hook("finetuning_flush");
    let mut store = std::ptr::null_mut();
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        let Some((path, name)) = line.strip_prefix("LOAD_AND_RUN ").and_then(|rest| rest.rsplit_once(' ')) else {
            eprintln!("unknown instruction: {line}");
            std::process::exit(99)
        };
        write(1, b"\x02K{\"run\":true}\n");
        match load(path, name) {
            Ok(cell) => store = cell(store),
            Err(error) => {
                eprintln!("cannot load the compiled cell: {error}");
                std::process::exit(99)
            }
        }
        if let Some(flush) = flush {
            flush();
        }
        write(1, b"\x02K{\"done\":true}\n");
        write(2, b"\x02K{\"done\":true}\n");
    }
    std::process::exit(0)
}

fn preload(variable: &str) -> Option<&'static Library> {
    let path = std::env::var_os(variable)?;
    // SAFETY: a library built by this project; its initialisers are those of the Rust runtime. A failure shows up again,
    // with a message, in the first cell that needs the library.
    let library = unsafe { Library::new(&path) }.ok()?;
    // Never unloaded: its thread locals and hooks may be used until the end.
    Some(Box::leak(Box::new(library)))
}

fn load(path: &str, name: &str) -> Result<Cell, libloading::Error> {
    // SAFETY: evcxr compiled the library and generated a function of this type; the library is never unloaded.
    unsafe {
        let library: &'static Library = Box::leak(Box::new(Library::new(path)?));
        Ok(*library.get::<Cell>(name.as_bytes())?)
    }
}

fn write(fd: i32, bytes: &[u8]) {
    let result = if fd == 1 {
        std::io::stdout().write_all(bytes).and_then(|()| std::io::stdout().flush())
    } else {
        std::io::stderr().write_all(bytes)
    };
    if result.is_err() {
        std::process::exit(0)
    }
}
