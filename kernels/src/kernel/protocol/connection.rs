//! The path of a connection file → its ports and key, read only when nobody else can read them.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use jupyter_zmq_client::ConnectionInfo;

use crate::system::machine;

/// Reads a connection file.
///
/// # Errors
/// What is wrong with the file, and what to do about it.
pub fn read(file: &Path) -> Result<ConnectionInfo, String> {
    check_private(file, allowed())?;
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    serde_json::from_str(&text).map_err(|error| {
        format!(
            "{}: {error}; a connection file holds the ports and the key of a kernel, and Jupyter writes it: jupyter lab",
            file.display()
        )
    })
}

/// As in jupyter_core, `JUPYTER_ALLOW_INSECURE_WRITES` lets file systems pass that know no owners.
fn allowed() -> bool {
    std::env::var("JUPYTER_ALLOW_INSECURE_WRITES").is_ok_and(|value| ["1", "true"].contains(&value.to_lowercase().as_str()))
}

/// Whoever can read the key of the connection file can run code as this user, so nobody else may. VS Code writes files that
/// all can read; one of our own is closed to the others, which is enough, since a kernel reads its file once at its start.
fn check_private(file: &Path, allowed: bool) -> Result<(), String> {
    let name = file.display();
    let found = std::fs::metadata(file).map_err(|error| format!("{name}: {error}; Jupyter writes this file: jupyter lab"))?;
    let open = |mode: u32| mode & 0o077 != 0;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let behind_a_door = || std::fs::metadata(folder).is_ok_and(|folder| !open(folder.mode()));
    if allowed || !open(found.mode()) || behind_a_door() {
        return Ok(());
    }
    let mode = found.mode() & 0o777;
    let ours = found.uid() == machine::user();
    let closed = match ours {
        true => std::fs::set_permissions(file, PermissionsExt::from_mode(0o600)).map_err(|error| error.to_string()),
        false => Err(format!("its owner is user {}", found.uid())),
    };
    match closed {
        Ok(()) => {
            eprintln!("{name} could be read by other users (mode {mode:o}) and holds the key to this kernel; its mode is now 600");
            Ok(())
        }
        Err(error) => Err(format!(
            "{name} can be read or written by other users (mode {mode:o}; {error}), and it holds the key to this kernel; to start it: chmod 600 {name}\n\
             on a file system without owners: JUPYTER_ALLOW_INSECURE_WRITES=1 jupyter lab"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_file_of_our_own_is_closed_and_a_foreign_one_refused() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path();
        let file = folder.join("kernel.json");
        std::fs::write(&file, "{}").unwrap();
        let chmod = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        let mode = || std::fs::metadata(&file).unwrap().mode() & 0o777;
        chmod(folder, 0o755);
        chmod(&file, 0o644);
        assert_eq!((check_private(&file, true), mode()), (Ok(()), 0o644));
        assert_eq!((check_private(&file, false), mode()), (Ok(()), 0o600));
        chmod(&file, 0o644);
        // Only root can give a file away.
        if std::os::unix::fs::chown(&file, Some(12345), None).is_ok() {
            let error = check_private(&file, false).unwrap_err();
            assert!(error.contains("user 12345") && error.contains("chmod 600") && mode() == 0o644, "{error}");
            chmod(folder, 0o700);
            assert_eq!(check_private(&file, false), Ok(()));
        }
    }
}
