//! `cargo lab serve`: builds the program `serve` of the companion crate and runs it with the words of the command line.

use crate::kernel::prepare::companion;
use crate::lab::failure::Failure;
use crate::lab::paths::Paths;

/// Runs the service until it ends; its words and exit code are the program's own.
pub fn serve(paths: &Paths, words: &[String]) -> Result<(), Failure> {
    let mut cargo = companion::cargo();
    // No package is named, so that nothing heavy is compiled twice (see `companion::build`).
    cargo.args(["run", "--quiet", "--bin", "serve", "--manifest-path"]).arg(paths.root.join("Cargo.toml"));
    if companion::wants_cuda() {
        cargo.args(["--features", "finetuning/cuda"]);
    }
    cargo.arg("--").args(words);
    #[cfg(unix)]
    let failed = {
        // In place of this program, so that Ctrl-C and a supervisor's signals reach the service.
        use std::os::unix::process::CommandExt;
        Some(cargo.exec())
    };
    #[cfg(not(unix))]
    let failed = match cargo.status() {
        Ok(status) if status.success() => None,
        Ok(status) => return Err(format!("the service ended ({status})").into()),
        Err(error) => Some(error),
    };
    failed.map_or(Ok(()), |error| Err(Failure::new(format!("cannot run cargo: {error}"), "cargo lab doctor")))
}
