//! `cargo lab`: one command that makes everything ready and opens the lessons, and its subcommands.
//!
//! In: the words of the command line. Out: lines on the terminal and an exit code; what cannot be done is one line that
//! says why and one that says what to type. `cli` reads the words, `commands` has a file for each command; what several of
//! them need stands below: `machine` makes ready, `client` talks to a kernel, `project` writes programs,
//! `grading` reads what learners solved.
//! Imports: kernel, spawn, syntax, system.

pub(crate) mod failure;
pub(crate) mod paths;

mod repository;

mod client;
mod machine;
mod project;

mod grading;

mod commands;

mod cli;

use std::process::ExitCode;

pub use cli::connection_file;

use cli::Command;
use commands::{bench, book, build, bundle, check, clean, doctor, export, grade, kernel, open, reset, run, serve, setup, wheel};
use paths::Paths;

/// Becomes the compiler of an exported project, when cargo started this program as one; call it first.
pub fn compiler_hook() {
    if let Some(build) = std::env::var_os(project::served::BUILT) {
        project::served::run(build.as_ref());
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let paths = Paths::find();
    let result = cli::parse(&words).and_then(|command| match command {
        Command::Open { host, port, browser } => open::open(&paths, host, port, browser),
        Command::Setup => setup::setup(&paths, true),
        Command::Run { lessons, write } => run::run(&paths, &lessons, write),
        Command::Clean { dry } => clean::clean(&paths, dry),
        Command::Reset { lessons } => reset::reset(&paths, &lessons),
        Command::Serve { words } => serve::serve(&paths, &words),
        Command::Doctor { port } => doctor::doctor(&paths, port),
        Command::Build { lessons } => build::build(&paths, &lessons),
        Command::Check { contracts } => check::check(&paths, contracts),
        Command::Grade { folders, run, form } => grade::grade(&paths, &folders, run, form),
        Command::Book { folder } => book::book(&paths, folder.as_deref()),
        Command::Bench { quick } => bench::bench(&paths, quick),
        Command::Export(request) => export::export(&paths, &request),
        Command::Bundle(file) => bundle::bundle(&paths, &file),
        Command::Wheel(folder) => wheel::wheel(&paths, &folder),
        Command::Kernel(request) => kernel::run(&paths, request),
        Command::Print(text) => {
            print!("{text}");
            Ok(())
        }
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}
