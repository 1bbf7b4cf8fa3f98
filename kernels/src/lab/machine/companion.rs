//! The companion crate as a dynamic library, made ahead so that the first cell of a kernel starts at once.

use std::path::Path;
use std::time::SystemTime;

use crate::kernel::prepare::{analysis, companion, support, unpack};
use crate::lab::failure::Failure;
use crate::lab::machine::resources::size;
use crate::lab::machine::steps::{Done, say};

/// Whether a source below a folder is newer than that.
fn changed_since(folder: &Path, built: SystemTime) -> bool {
    std::fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| {
        let path = entry.path();
        let is_source = path.extension().is_some_and(|suffix| suffix == "rs");
        if path.is_dir() {
            changed_since(&path, built)
        } else {
            is_source && entry.metadata().and_then(|file| file.modified()).is_ok_and(|time| time > built)
        }
    })
}

/// Whether the library is there.
pub fn is_built(root: &Path) -> bool {
    companion::find(root, companion::wants_cuda()).is_ok_and(|found| found.library.exists())
}

/// Builds the library, the support library, the source of std and the manifest for type inference where they are not up to
/// date, so that a kernel writes nothing into the repository: it may be shared and read-only.
pub fn build(root: &Path, cuda: bool) -> Result<Done, Failure> {
    let fix = |what| Failure::new(what, if cuda { "cargo lab kernel install, without --cuda" } else { "cargo build --lib" });
    let library = companion::find(root, cuda).map_err(fix)?.library;
    let stamp = || std::fs::metadata(&library).and_then(|file| file.modified()).ok();
    let before = stamp();
    let lock = format!("{:08x}", unpack::checksum(&std::fs::read(root.join("Cargo.lock")).unwrap_or_default()));
    let record = root.join(".lab/lock.stamp");
    match before {
        None => say("building the companion crate"),
        Some(_) if std::fs::read_to_string(&record).is_ok_and(|old| old != lock) => {
            let target = library.ancestors().nth(3).map_or(0, size);
            say(&format!(
                "the dependencies have changed since the last set-up: what is new compiles, which can take as long as the first time; builds \
                 take {:.1} GB of disk, and `cargo lab clean` frees what is old with the rest",
                target as f64 / 1e9
            ));
        }
        Some(built) if changed_since(&root.join("lib"), built) => say("the companion crate has changed: it compiles again, in minutes"),
        Some(_) => {}
    }
    let built = companion::build(root, cuda).map_err(fix)?;
    let _ = std::fs::write(record, lock);
    let folder = support::library_folder(root).map_err(fix)?;
    support::library(root, &folder).map_err(fix)?;
    unpack::unpack_std_source(root).map_err(fix)?;
    analysis::manifest(root, &built).map_err(fix)?;
    Ok(if before == stamp() { Done::Fresh } else { Done::Made("built".into()) })
}
