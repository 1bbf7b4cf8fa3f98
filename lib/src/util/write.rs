//! Bytes → a file that is there as a whole or not at all.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use crate::error::{Error, Result};

/// Writes a whole file or leaves the old one: temporary neighbour, flush to disk, rename.
///
/// # Errors
/// [`crate::ErrorKind::File`] when the folder or the file cannot be written; nothing of the new content stays then.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = |aside: &Path| {
        let mut file = File::create_new(aside)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    replace(path, write).map_err(|error| Error::file(path, error))
}

/// Makes a file or a link aside, under a name that nothing has, and renames it, so that nobody finds half of one or none.
pub(crate) fn replace(path: &Path, make: impl Fn(&Path) -> io::Result<()>) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // What a failed attempt has begun goes; the name of another process stays.
    let attempt = |aside: &Path| {
        make(aside).inspect_err(|error| {
            if error.kind() != io::ErrorKind::AlreadyExists {
                let _ = std::fs::remove_file(aside);
            }
        })
    };
    let made = tempfile::Builder::new().prefix(&format!(".{name}.")).suffix(".partial").make_in(folder, attempt)?;
    // Who could not read the old file cannot read the new one; what a link leads to is left alone.
    if let (Ok(old), true) = (std::fs::metadata(path), std::fs::symlink_metadata(made.path())?.is_file()) {
        std::fs::set_permissions(made.path(), old.permissions())?;
    }
    made.persist(path).map(drop).map_err(|failed| failed.error)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_or_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        write_whole(&path, b"old").unwrap();
        let half = |aside: &Path| std::fs::write(aside, "half").and(Err(io::Error::other("full")));
        assert_eq!(replace(&path, half).unwrap_err().to_string(), "full");
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        write_whole(&path, b"new").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "who may read it");
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "something was left");
        let error = write_whole(&folder.path().join("no/a.json"), b"").unwrap_err();
        assert_eq!(
            error.to_string().lines().next().unwrap(),
            format!("`{}`: No such file or directory (os error 2)", folder.path().join("no/a.json").display())
        );
    }
}
