//! `cargo lab`: one command that makes everything ready and opens the lessons, and its subcommands.
//!
//! In: the words of the command line. Out: lines on the terminal and an exit code; what cannot be done is one line that
//! says why and one that says what to type.

mod bench;
pub mod client;
mod companion;
mod course;
mod doctor;
mod export;
pub mod install;
mod jupyter;
pub mod outputs;
mod program;
mod python;
mod run;
mod serve;
mod steps;
mod system;

use std::path::PathBuf;
use std::process::ExitCode;

use crate::kernel::warm;

const HELP: &str = "\
cargo lab                     set everything up and open the lessons in JupyterLab
  --port <number>             the port of JupyterLab (default: the first free one from 8888)
  --no-browser                print the address, open no browser
cargo lab setup               all of that, but do not open JupyterLab
cargo lab run [lesson ...]    run lessons without a browser (default: all); a lesson is a number, a name or a path
  --write                     keep the outputs in the notebooks
cargo lab serve [model ...]   a playground and an OpenAI-compatible API for models; --help tells its options
cargo lab doctor              check what the lessons need, and name the command that fixes it
cargo lab build [lesson ...]  make the notebooks from notebooks/lessons
cargo lab check               say which notebooks are not up to date
cargo lab export <notebook>   write a cargo project that prints what the notebook prints; a folder may follow
cargo lab bench               measure the kernel beside stock evcxr_jupyter
  --quick                     without the companion crate, which the stock kernel compiles for minutes
cargo lab kernel install      offer the kernel to every Jupyter of this user, as `rust`
                              and, for the lessons, as `rust-finetuning`
  --prefix <folder>           to that Python environment instead; --user is the default
  --name <name>               under another name
  --cuda                      with the companion built for CUDA, as `rust-cuda`
cargo lab kernel uninstall    take it away again; same options
cargo lab kernel list         where it is installed
cargo lab kernel <file>       the Jupyter kernel itself, for Jupyter to call";

/// Why a command ends, and what to type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    what: String,
    fix: Option<String>,
}

impl Failure {
    fn new(what: impl Into<String>, fix: impl Into<String>) -> Failure {
        Failure { what: what.into(), fix: Some(fix.into()) }
    }
}

impl From<String> for Failure {
    fn from(what: String) -> Failure {
        Failure { what, fix: None }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "error: {}", self.what)?;
        match &self.fix {
            Some(fix) => write!(f, "\nfix:   {fix}"),
            None => Ok(()),
        }
    }
}

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Command {
    Open { port: Option<u16>, browser: bool },
    Setup,
    Run { lessons: Vec<String>, write: bool },
    Serve { words: Vec<String> },
    Doctor { port: Option<u16> },
    Build { lessons: Vec<String> },
    Check,
    Bench { quick: bool },
    Export { notebook: String, folder: Option<PathBuf> },
    Kernel(install::Request),
    Help,
}

/// The folders that the commands work in.
#[derive(Debug, Clone)]
struct Places {
    root: PathBuf,
    /// The lessons.
    notebooks: PathBuf,
    /// All that is made on this machine and is not a build of cargo.
    lab: PathBuf,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let root = warm::root();
    let places = Places { notebooks: root.join("notebooks"), lab: root.join(".lab"), root };
    let result = parse(&words).and_then(|command| match command {
        Command::Open { port, browser } => jupyter::open(&places, port, browser),
        Command::Setup => jupyter::setup(&places),
        Command::Run { lessons, write } => run::run(&places, &lessons, write),
        Command::Serve { words } => serve::serve(&places, &words),
        Command::Doctor { port } => doctor::doctor(&places, port),
        Command::Build { lessons } => course::build(&places, &lessons),
        Command::Check => course::check(&places),
        Command::Bench { quick } => bench::bench(&places, quick),
        Command::Export { notebook, folder } => export::export(&places, &notebook, folder.as_deref()),
        Command::Kernel(request) => install::run(&places, request),
        Command::Help => {
            println!("{HELP}");
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

fn parse(words: &[String]) -> Result<Command, Failure> {
    let wrong = |word: &str| Failure::new(format!("`{word}` is not understood here"), "cargo lab --help");
    let (command, rest) = match words.split_first() {
        Some((first, rest)) if !first.starts_with('-') => (first.as_str(), rest),
        _ => ("", words),
    };
    if command == "serve" {
        return Ok(Command::Serve { words: rest.to_vec() });
    }
    if command == "kernel" {
        return Ok(install::parse(rest)?.map_or(Command::Help, Command::Kernel));
    }
    let (mut port, mut browser, mut write, mut quick, mut lessons) = (None, true, false, false, Vec::new());
    let mut rest = rest.iter();
    while let Some(word) = rest.next() {
        match (word.as_str(), command) {
            ("--help" | "-h", _) => return Ok(Command::Help),
            ("--port", "" | "doctor") => {
                let number = rest.next().and_then(|number| number.parse().ok()).filter(|&port: &u16| port > 0);
                port = Some(number.ok_or_else(|| Failure::new("--port wants a number from 1 to 65535", "cargo lab --port 8888"))?);
            }
            ("--no-browser", "") => browser = false,
            ("--write", "run") => write = true,
            ("--quick", "bench") => quick = true,
            (lesson, "run" | "build" | "export") if !lesson.starts_with('-') => lessons.push(lesson.to_string()),
            (word, _) => return Err(wrong(word)),
        }
    }
    match command {
        "" => Ok(Command::Open { port, browser }),
        "setup" => Ok(Command::Setup),
        "run" => Ok(Command::Run { lessons, write }),
        "doctor" => Ok(Command::Doctor { port }),
        "build" => Ok(Command::Build { lessons }),
        "check" => Ok(Command::Check),
        "bench" => Ok(Command::Bench { quick }),
        "export" => match &lessons[..] {
            [notebook] => Ok(Command::Export { notebook: notebook.clone(), folder: None }),
            [notebook, folder] => Ok(Command::Export { notebook: notebook.clone(), folder: Some(folder.into()) }),
            _ => Err(Failure::new("export wants a notebook and, if you like, a folder", "cargo lab export 1")),
        },
        "help" => Ok(Command::Help),
        other => Err(wrong(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::{Command, parse};

    fn words(line: &str) -> Result<Command, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_string).collect();
        parse(&words).map_err(|failure| failure.to_string())
    }

    #[test]
    fn every_command_is_understood() {
        assert_eq!(words(""), Ok(Command::Open { port: None, browser: true }));
        assert_eq!(words("--no-browser --port 9000"), Ok(Command::Open { port: Some(9000), browser: false }));
        assert_eq!(words("run 5 why --write"), Ok(Command::Run { lessons: vec!["5".into(), "why".into()], write: true }));
        assert_eq!(
            words("serve builtin:base --port 0"),
            Ok(Command::Serve { words: ["builtin:base", "--port", "0"].map(String::from).into() })
        );
        assert_eq!(words("setup"), Ok(Command::Setup));
        assert_eq!(words("doctor"), Ok(Command::Doctor { port: None }));
        assert_eq!(words("build"), Ok(Command::Build { lessons: vec![] }));
        assert_eq!(words("check"), Ok(Command::Check));
        assert_eq!(words("export a.ipynb b"), Ok(Command::Export { notebook: "a.ipynb".into(), folder: Some("b".into()) }));
        assert_eq!(words("bench --quick"), Ok(Command::Bench { quick: true }));
        assert_eq!(words("kernel list"), Ok(Command::Kernel(super::install::Request::List)));
        assert_eq!(words("run --help"), Ok(Command::Help));
    }

    #[test]
    fn a_wrong_word_is_named_with_the_command_that_helps() {
        assert_eq!(words("runn"), Err("error: `runn` is not understood here\nfix:   cargo lab --help".into()));
        assert_eq!(words("check --write"), Err("error: `--write` is not understood here\nfix:   cargo lab --help".into()));
        for line in ["--port", "--port x", "--port 0", "--port 70000"] {
            assert!(words(line).unwrap_err().starts_with("error: --port wants a number"), "{line}");
        }
    }
}
