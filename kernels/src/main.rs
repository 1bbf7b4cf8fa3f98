//! `lab kernel <connection file>` runs the Jupyter kernel; all other arguments are for the launcher.

use std::path::Path;
use std::process::ExitCode;

use finetuning_kernel::{kernel, lab};

fn main() -> ExitCode {
    kernel::runtime_hook();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let connection = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["kernel", word] if !lab::install::is_command(word) => Path::new(word),
        _ => return lab::main(),
    };
    match kernel::run(connection) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
