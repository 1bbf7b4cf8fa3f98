//! The companion crate as a dynamic library, made ahead so that the first cell of a kernel starts at once.

use std::path::Path;

use super::Failure;
use super::steps::{Done, say};
use crate::kernel::{analysis, warm};

/// Builds the library, the support library, the source of std and the manifest for type inference where they are not up to
/// date, so that a kernel writes nothing into the repository: it may be shared and read-only.
pub fn build(root: &Path) -> Result<Done, Failure> {
    let cuda = std::env::var_os(warm::CUDA).is_some();
    let fix = |what| Failure::new(what, if cuda { "cargo lab kernel install, without --cuda" } else { "cargo build --lib" });
    let library = warm::companion(root).map_err(fix)?.library;
    let stamp = || std::fs::metadata(&library).and_then(|file| file.modified()).ok();
    let before = stamp();
    if before.is_none() {
        say("building the companion crate");
    }
    let companion = warm::build_companion(root).map_err(fix)?;
    let folder = warm::library_folder().map_err(fix)?;
    warm::support_library(root, &folder).map_err(fix)?;
    warm::unpack_std_source(root).map_err(fix)?;
    analysis::manifest(root, &companion).map_err(fix)?;
    Ok(if before == stamp() { Done::Fresh } else { Done::Made("built".into()) })
}
