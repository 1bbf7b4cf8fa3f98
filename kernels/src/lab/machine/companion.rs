//! The companion crate as a dynamic library, made ahead so that the first cell of a kernel starts at once.

use std::path::Path;

use crate::kernel::prepare::{analysis, companion, support, unpack};
use crate::lab::failure::Failure;
use crate::lab::machine::steps::{Done, say};

/// Builds the library, the support library, the source of std and the manifest for type inference where they are not up to
/// date, so that a kernel writes nothing into the repository: it may be shared and read-only.
pub fn build(root: &Path, cuda: bool) -> Result<Done, Failure> {
    let fix = |what| Failure::new(what, if cuda { "cargo lab kernel install, without --cuda" } else { "cargo build --lib" });
    let library = companion::find(root, cuda).map_err(fix)?.library;
    let stamp = || std::fs::metadata(&library).and_then(|file| file.modified()).ok();
    let before = stamp();
    if before.is_none() {
        say("building the companion crate");
    }
    let built = companion::build(root, cuda).map_err(fix)?;
    let folder = support::library_folder().map_err(fix)?;
    support::library(root, &folder).map_err(fix)?;
    unpack::unpack_std_source(root).map_err(fix)?;
    analysis::manifest(root, &built).map_err(fix)?;
    Ok(if before == stamp() { Done::Fresh } else { Done::Made("built".into()) })
}
