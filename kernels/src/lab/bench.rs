//! `cargo lab bench`: our kernel beside stock evcxr_jupyter, measured in one run → a table.

use std::process::Command;

use super::{Failure, Places, companion, python};

/// Builds both kernels and runs the comparison; `quick` leaves out the companion crate, which the stock kernel compiles
/// for minutes.
pub fn bench(places: &Places, quick: bool) -> Result<(), Failure> {
    python::prepare(places)?;
    companion::build(&places.root)?;
    let program = std::env::current_exe().map_err(|error| format!("the path of this program: {error}"))?;
    let build = program.parent().expect("a program lies in a folder");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut examples = Command::new(cargo);
    examples.args(["build", "--examples", "--target-dir"]).arg(build.parent().unwrap_or(build)).current_dir(&places.root);
    if !examples.status().is_ok_and(|status| status.success()) {
        return Err(Failure::new("the stock kernel could not be built", "cargo build --examples"));
    }
    let mut script = Command::new(python::venv_python(places));
    script.arg(places.root.join("kernels/benches/kernels.py")).arg(&program).arg(build.join("examples/stock")).arg(places.root.join("lib"));
    if quick {
        script.arg("--quick");
    }
    python::own_packages_only(&mut script);
    match script.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::from(format!("the comparison ended early ({status})"))),
        Err(error) => Err(Failure::from(format!("{}: {error}", python::venv_python(places).display()))),
    }
}
