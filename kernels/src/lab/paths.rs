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
    /// The reader's copies of the lessons, and what their cells write.
    pub work: PathBuf,
}

impl Paths {
    /// The folders of the repository that this program belongs to.
    pub fn find() -> Paths {
        let root = path::root();
        let work = std::env::var_os("FINETUNING_WORK").filter(|folder| !folder.is_empty());
        let work = work.map_or_else(|| root.join("work"), PathBuf::from);
        Paths { notebooks: root.join("notebooks"), lab: root.join(".lab"), work, root }
    }
}
