//! The source of the support library → a dynamic library for the installed toolchain, compiled once.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::kernel::prepare::fresh;
use crate::kernel::prepare::unpack::checksum;
use crate::spawn;

/// Compiled into the process of the cells: panic hook and flushes.
const SOURCE: &str = include_str!("../../../assets/child/support.rs");

/// The folder of libstd, for processes that load cells.
pub fn library_folder(root: &Path) -> Result<PathBuf, String> {
    let mut rustc = Command::new("rustc");
    // A toolchain that the notebook's folder names is not that of the cells.
    rustc.args(["--print", "target-libdir"]).current_dir(root);
    let folder = spawn::output(&mut rustc, "rustc does not say where its library is")?;
    Ok(folder.trim().into())
}

/// Compiles the support library for the installed toolchain, once.
pub fn library(root: &Path, library_folder: &Path) -> Result<PathBuf, String> {
    let std = std::fs::read_dir(library_folder).map_err(|error| format!("{}: {error}", library_folder.display()))?;
    let std = std
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .find(|name| name.contains("std-") && name.ends_with(std::env::consts::DLL_SUFFIX));
    let key = checksum(format!("{SOURCE}{std:?}").as_bytes());
    let library = root.join(".lab").join(format!("support-{key:08x}{}", std::env::consts::DLL_SUFFIX));
    if library.exists() {
        return Ok(library);
    }
    // What rustc writes on the way has the same names in every process that builds it at once.
    let failed = |error: std::io::Error| format!("{}: {error}", library.display());
    let fresh = fresh::beside(&library).map_err(failed)?;
    let (code, made) = (fresh.path().join("support.rs"), fresh.path().join("support"));
    std::fs::write(&code, SOURCE).map_err(failed)?;
    let mut rustc = Command::new("rustc");
    rustc.args(["--crate-name", "support", "--edition", "2024", "--crate-type", "cdylib", "-Cprefer-dynamic", "-Copt-level=1", "-o"]);
    spawn::output(rustc.arg(&made).arg(&code).current_dir(root), "rustc could not build the support library")?;
    std::fs::rename(&made, &library).map_err(failed)?;
    Ok(library)
}
