//! The environment of this process → where the repository is, and a PATH on which cargo and rustc are found.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::kernel::prepare::package::Package;

/// The repository: `FINETUNING_ROOT`, the tree of the package that this program belongs to, or the one this program was built in.
pub fn root() -> PathBuf {
    match (std::env::var_os("FINETUNING_ROOT"), Package::own()) {
        (Some(root), _) => root.into(),
        (None, Some(package)) => package.root.clone(),
        (None, None) => Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a crate folder lies in the workspace").into(),
    }
}

/// Names the folder of rustc, in the environment of a kernelspec.
pub const RUSTC_FOLDER: &str = "FINETUNING_RUST_BIN";

/// PATH with the usual folders of rustc in front, for a kernel that a desktop program started; none when rustc is on PATH already, or nowhere.
pub fn with_rustc() -> Option<OsString> {
    let variable = |name: &str| std::env::var_os(name).filter(|text| !text.is_empty()).map(PathBuf::from);
    let folders =
        [variable(RUSTC_FOLDER), variable("CARGO_HOME").map(|home| home.join("bin")), variable("HOME").map(|home| home.join(".cargo/bin"))];
    prepend(folders.into_iter().flatten(), &std::env::var_os("PATH").unwrap_or_default())
}

/// Whether a program of this name is on PATH.
pub fn offers(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

fn prepend(folders: impl Iterator<Item = PathBuf>, path: &OsStr) -> Option<OsString> {
    let mut paths: Vec<PathBuf> = std::env::split_paths(path).collect();
    let has_rustc = |folder: &PathBuf| folder.join("rustc").is_file();
    if paths.iter().any(has_rustc) {
        return None;
    }
    paths.insert(0, folders.into_iter().find(has_rustc)?);
    std::env::join_paths(paths).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_path_without_rustc_is_changed() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().to_path_buf();
        let folders = || [PathBuf::from("/no/such/folder"), folder.clone()].into_iter();
        assert_eq!(prepend(folders(), OsStr::new("/usr/none")), None);
        std::fs::write(folder.join("rustc"), "").unwrap();
        assert_eq!(prepend(folders(), OsStr::new("/usr/none")), Some(format!("{}:/usr/none", folder.display()).into()));
        assert_eq!(prepend(folders(), folder.as_os_str()), None);
    }
}
