//! The place of a file or a folder → a fresh folder beside it, where its content is made before it appears, whole or not at
//! all.

use std::io;
use std::path::Path;

use tempfile::TempDir;

/// A fresh folder beside `target`, whose parents are made; as open to others as any folder that this user makes, and removed
/// when it is dropped.
///
/// # Errors
/// Nothing can be written there.
pub fn beside(target: &Path) -> io::Result<TempDir> {
    let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent)?;
    tempfile::Builder::new().prefix(".new-").tempdir_in(parent)
}

/// Moves a fresh folder to its place.
///
/// # Errors
/// There is a folder with content, or nothing can be written there.
pub fn place(fresh: TempDir, target: &Path) -> io::Result<()> {
    std::fs::rename(fresh.path(), target)?;
    // It is the target now: nothing is left to remove.
    let _ = fresh.keep();
    Ok(())
}

/// Makes a folder by `make`, once, however many processes try at the same time.
///
/// # Errors
/// What `make` finds, or that nothing can be written there.
pub fn once(target: &Path, make: impl FnOnce(&Path) -> Result<(), String>) -> Result<(), String> {
    if target.exists() {
        return Ok(());
    }
    let failed = |error: io::Error| format!("{}: {error}", target.display());
    let fresh = beside(target).map_err(failed)?;
    make(fresh.path())?;
    match place(fresh, target) {
        // Another process was faster.
        Err(_) if target.exists() => Ok(()),
        placed => placed.map_err(failed),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_folder_appears_whole_or_not_at_all_and_with_the_usual_mode() {
        let home = tempfile::tempdir().unwrap();
        let target = home.path().join("a/b");
        assert_eq!(once(&target, |_| Err("no".into())), Err("no".into()));
        assert_eq!(std::fs::read_dir(home.path().join("a")).unwrap().count(), 0, "nothing half made is left");
        for text in ["first", "second"] {
            once(&target, |folder| std::fs::write(folder.join("file"), text).map_err(|error| error.to_string())).unwrap();
        }
        assert_eq!(std::fs::read_to_string(target.join("file")).unwrap(), "first");
        let usual = home.path().join("usual");
        std::fs::create_dir(&usual).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&target), mode(&usual));
    }
}
