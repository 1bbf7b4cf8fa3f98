//! `lab kernel <connection file>` runs the Jupyter kernel; all other arguments are for the launcher.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use finetuning_kernel::{kernel, lab};

fn main() -> ExitCode {
    lab::compiler_hook();
    kernel::runtime_hook();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(connection) = lab::connection_file(&arguments) else { return lab::main() };
    match kernel::run(connection) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
