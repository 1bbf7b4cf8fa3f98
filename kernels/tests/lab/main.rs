//! `lab` from the outside: what it answers, what it writes, what it starts.

mod clean;
mod exercises;
mod export;
mod grade;
mod launcher;
mod notebook;
mod run;

/// The program.
const LAB: &str = env!("CARGO_BIN_EXE_lab");
