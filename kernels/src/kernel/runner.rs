//! Lines `LOAD_AND_RUN <library> <function>` on stdin → the function is loaded and run in this process.
//!
//! The same protocol as evcxr's own runtime, with two additions: libraries named in the environment are loaded before the
//! first cell, and the end of a cell flushes the cell's standard output and marks both outputs.

use std::ffi::c_void;
use std::fs::File;
use std::io::{BufRead, Write};
use std::os::fd::{AsRawFd, FromRawFd};

use libloading::Library;

use super::child::{WAKE, wait_for_input};

/// The library of `support.rs`: panic hook and flushes.
pub const SUPPORT: &str = "FINETUNING_SUPPORT";
/// The companion crate, loaded ahead so that the first cell that uses it starts at once.
pub const COMPANION: &str = "FINETUNING_COMPANION";

type Cell = extern "C" fn(*mut c_void) -> *mut c_void;

/// Runs cells until stdin closes.
pub fn run() -> ! {
    super::child::die_with_parent();
    // SAFETY: no other thread runs yet.
    unsafe {
        std::env::remove_var(super::child::RUNNER);
        std::env::remove_var(super::child::PARENT);
    }
    // When memory runs out, the system shall end the cell, not the kernel. Not on every system.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    let marks = [1, 2].map(keep);
    obey_wake();
    let support = preload(SUPPORT);
    let _companion = preload(COMPANION);
    let hook = |name: &str| {
        // SAFETY: both functions of support.rs have this type.
        support.as_ref().and_then(|library| unsafe { library.get::<extern "C" fn()>(name.as_bytes()).ok() }).map(|f| *f)
    };
    if let Some(start) = hook("finetuning_start") {
        start();
    }
    let (begin, flush) = (hook("finetuning_begin"), hook("finetuning_flush"));
    let mut store = std::ptr::null_mut();
    let mut input = std::io::stdin().lock();
    let mut line = String::new();
    loop {
        // The supervisor may have refused a question of the last cell.
        wait_for_input(0, true);
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
        for (fd, mark) in [1, 2].into_iter().zip(&marks) {
            reopen(fd, mark);
        }
        write(&marks[0], b"\x02K{\"run\":true}\n");
        let found = load(path, name);
        if let Some(run) = begin {
            run();
        }
        match found {
            Ok(cell) => store = cell(store),
            Err(error) => {
                eprintln!("cannot load the compiled cell: {error}");
                std::process::exit(99)
            }
        }
        if let Some(flush) = flush {
            flush();
        }
        for mark in &marks {
            write(mark, b"\x02K{\"done\":true}\n");
        }
    }
    std::process::exit(0)
}

/// Lets [`WAKE`] interrupt a system call, and nothing more.
fn obey_wake() {
    extern "C" fn nothing(_: i32) {}
    // SAFETY: a valid structure, and a handler that does nothing.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as *const () as usize;
        libc::sigaction(WAKE, &raw const action, std::ptr::null_mut());
    }
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

/// A second descriptor of an output: marks arrive also when a cell sends its own output elsewhere.
fn keep(fd: i32) -> File {
    // SAFETY: a call without pointers; the new descriptor gets one owner.
    unsafe {
        match libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 100) {
            kept @ 0.. => File::from_raw_fd(kept),
            // Without descriptors left, the process would not get far either.
            _ => std::process::exit(99),
        }
    }
}

/// An output that an earlier cell has closed.
fn reopen(fd: i32, kept: &File) {
    // SAFETY: calls without pointers, on descriptors of this process.
    unsafe {
        if libc::fcntl(fd, libc::F_GETFD) < 0 {
            libc::dup2(kept.as_raw_fd(), fd);
        }
    }
}

fn write(mut output: &File, bytes: &[u8]) {
    if output.write_all(bytes).is_err() {
        std::process::exit(0)
    }
}
