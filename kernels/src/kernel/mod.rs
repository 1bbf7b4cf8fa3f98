//! The Jupyter kernel: a connection file → five sockets, a thread that evaluates cells, and a process that runs them.
//!
//! In: requests of a client, with the code of cells. Out: its replies and what the cells print, show and return. A cell goes
//! `serve` → `protocol` → `shell` → `engine` → `process` → `engine` → `protocol`; `prepare` makes ready what they need,
//! `messages` words what is said to the user, `interrupt` stops a cell.
//! Imports: spawn, syntax, system.

mod marks;

pub(crate) mod messages;
pub(crate) mod prepare;

mod interrupt;
mod lock;

mod rewrite;

mod process;

mod protocol;

mod shared;

mod engine;

mod shell;

mod serve;

#[cfg(test)]
mod fuzz;

pub use protocol::history::FILE as HISTORY;
pub use serve::run;

/// Becomes the process of the cells, or the compiler of a cell, when evcxr started this program as one; call it first.
pub fn runtime_hook() {
    if std::env::var_os(rewrite::rustc::WRAPPER).is_some() {
        rewrite::rustc::run();
    }
    if std::env::var_os(process::child::RUNNER).is_some() {
        process::runner::run();
    }
    if std::env::var_os("EVCXR_IS_RUNTIME").is_some() {
        process::child::supervise();
    }
    evcxr::runtime_hook();
}
