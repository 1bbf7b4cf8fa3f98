//! Cells → results: evcxr and all that is translated on the way to it and back.
//!
//! In: jobs. Out: replies, results, errors and outputs on iopub.
//! Imports: interrupt, lock, marks, messages, prepare, process, protocol, rewrite, shared, spawn, syntax, system.

pub mod assist;
pub mod outside;
pub mod trace;

pub mod output;
pub mod progress;

pub mod repl;

pub mod magic;

pub mod evaluate;
pub mod rerun;

pub mod queue;
