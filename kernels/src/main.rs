//! `lab kernel <connection file>` runs the Jupyter kernel; all other arguments are for the launcher.

use std::path::Path;
use std::process::ExitCode;

use finetuning_kernel::{kernel, lab};

fn main() -> ExitCode {
    kernel::runtime_hook();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ["kernel", connection] = arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] else {
        return lab::main();
    };
    match kernel::run(Path::new(connection)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
