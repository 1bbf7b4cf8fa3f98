//! `lab` from the outside: what it answers, what it writes, what it starts.

mod clean;
mod exercises;
mod export;
mod grade;
mod launcher;
mod notebook;
mod package;
mod run;

use std::path::Path;
use std::process::{Command, Stdio};

/// The program.
const LAB: &str = env!("CARGO_BIN_EXE_lab");

/// Puts a program there that holds these bytes. Another process writes it: were it written here, a child that another test starts at
/// this moment would hold it open, and a file that is open to write cannot be started.
fn install(program: &Path, bytes: &[u8]) {
    let mut install = Command::new("install").args(["-D", "-m", "755", "/dev/stdin"]).arg(program).stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut install.stdin.take().unwrap(), bytes).unwrap();
    assert!(install.wait().unwrap().success());
}
