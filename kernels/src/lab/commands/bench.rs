//! `cargo lab bench`: our kernel beside stock evcxr_jupyter, measured in one run → a table.

use std::process::Command;

use crate::kernel::prepare::companion::wants_cuda;
use crate::lab::failure::Failure;
use crate::lab::machine::{companion, python};
use crate::lab::paths::Paths;
use crate::spawn;

/// Builds both kernels and runs the comparison; `quick` leaves out the companion crate, which the stock kernel compiles
/// for minutes.
pub fn bench(paths: &Paths, quick: bool) -> Result<(), Failure> {
    python::prepare(paths)?;
    companion::build(&paths.root, wants_cuda())?;
    let program = std::env::current_exe().map_err(|error| format!("the path of this program: {error}"))?;
    let build = program.parent().expect("a program lies in a folder");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut stock = Command::new(cargo);
    stock
        .args(["build", "--workspace", "--example", "stock", "--target-dir"])
        .arg(build.parent().unwrap_or(build))
        .current_dir(&paths.root);
    spawn::run(&mut stock, "the stock kernel could not be built")
        .map_err(|what| Failure::new(what, "cargo build --workspace --example stock"))?;
    let mut script = Command::new(python::venv_python(paths));
    script.arg(paths.root.join("kernels/benches/kernels.py")).arg(&program).arg(build.join("examples/stock")).arg(paths.root.join("lib"));
    if quick {
        script.arg("--quick");
    }
    python::own_packages_only(&mut script);
    Ok(spawn::run(&mut script, "the comparison ended early")?)
}
