//! A folder and a name → a kernelspec of this program: `kernel.json` and logos, for every Jupyter front end alike.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::kernel::prepare::companion::CUDA;
use crate::kernel::prepare::fresh;
use crate::kernel::prepare::path::RUSTC_FOLDER;
use crate::lab::failure::Failure;

pub const LOGOS: [(&str, &[u8]); 3] = [
    ("logo-32x32.png", include_bytes!("../../../assets/logo-32x32.png")),
    ("logo-64x64.png", include_bytes!("../../../assets/logo-64x64.png")),
    ("logo-svg.svg", include_bytes!("../../../assets/logo-svg.svg")),
];
/// The field of a spec's metadata by which it is known as ours.
const OURS: &str = "finetuning";

/// A kernelspec that starts this program.
///
/// Front ends that no terminal started may lack the folder of rustc and cargo on PATH: the spec names it.
fn spec(display_name: &str, cuda: bool) -> Result<Value, Failure> {
    let program = std::env::current_exe().map_err(|error| Failure::from(format!("the path of this program: {error}")))?;
    let mut environment = serde_json::Map::new();
    if let Some(folder) = rust_folder() {
        environment.insert(RUSTC_FOLDER.into(), folder.to_string_lossy().into());
    }
    if cuda {
        environment.insert(CUDA.into(), "1".into());
    }
    Ok(json!({
        "argv": [program, "kernel", "{connection_file}"], "display_name": display_name, "language": "rust", "interrupt_mode": "message",
        "env": environment, "metadata": { OURS: env!("CARGO_PKG_VERSION") },
    }))
}

/// A kernelspec that starts a module of the Python that Jupyter runs in; Jupyter knows that Python by this word.
pub fn of_module(display_name: &str, module: &str) -> Value {
    json!({
        "argv": ["python", "-m", module, "{connection_file}"], "display_name": display_name, "language": "rust",
        "interrupt_mode": "message", "env": {}, "metadata": { OURS: env!("CARGO_PKG_VERSION") },
    })
}

/// The first folder of PATH with a rustc in it.
fn rust_folder() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).find(|folder| folder.is_absolute() && folder.join("rustc").is_file())
}

/// Writes a spec and its logos, whole or not at all: made beside its place, then moved there.
pub fn write(folder: &Path, display_name: &str, cuda: bool) -> Result<(), Failure> {
    let content = format!("{:#}\n", spec(display_name, cuda)?);
    let failed = |error: std::io::Error| Failure::new(format!("{}: {error}", folder.display()), "cargo lab kernel install --prefix FOLDER");
    let fresh = fresh::beside(folder).map_err(failed)?;
    LOGOS.iter().try_for_each(|(name, bytes)| std::fs::write(fresh.path().join(name), bytes)).map_err(failed)?;
    std::fs::write(fresh.path().join("kernel.json"), content).map_err(failed)?;
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(failed)?;
    }
    fresh::place(fresh, folder).map_err(failed)
}

/// Whether a spec and its logos are there and as `write` would make them.
pub fn is_written(folder: &Path, display_name: &str, cuda: bool) -> bool {
    spec(display_name, cuda).is_ok_and(|spec| read(folder) == Some(spec))
        && LOGOS.iter().all(|(name, bytes)| std::fs::read(folder.join(name)).is_ok_and(|found| found == *bytes))
}

/// The spec in a folder.
pub fn read(folder: &Path) -> Option<Value> {
    serde_json::from_str(&std::fs::read_to_string(folder.join("kernel.json")).ok()?).ok()
}

/// Whether a spec is of this program.
pub fn is_ours(spec: &Value) -> bool {
    spec["metadata"][OURS].is_string()
}
