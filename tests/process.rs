//! A command of the harness → a process of its own, whose environment, death and interrupts are its own as well.

use std::process::Command;

/// `harness COMMAND`, to be given more words and started.
pub fn harness(command: &str) -> Command {
    let mut harness = Command::new(env!("CARGO_BIN_EXE_harness"));
    harness.arg(command);
    harness
}
