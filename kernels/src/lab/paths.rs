//! The folders that the commands work in.

use std::path::PathBuf;

use crate::kernel::prepare::path;

/// The folders that the commands work in.
#[derive(Debug, Clone)]
pub struct Paths {
    pub root: PathBuf,
    /// The lessons.
    pub notebooks: PathBuf,
    /// All that is made on this machine and is not a build of cargo.
    pub lab: PathBuf,
}

impl Paths {
    /// The folders of the repository that this program belongs to.
    pub fn find() -> Paths {
        let root = path::root();
        Paths { notebooks: root.join("notebooks"), lab: root.join(".lab"), root }
    }
}
