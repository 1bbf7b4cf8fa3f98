//! The folder for temporary files → a private folder of one process, removed by the next of its kind when its process is gone.
//!
//! A folder is known to be in use by a lock that its process holds, which other containers see as well, where numbers of processes
//! say nothing.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::system::machine::{self, Place};
use crate::system::process;

/// The file whose lock says that the folder is in use.
const ALIVE: &str = "alive";
/// A process that starts may not hold its lock yet.
const NEW: Duration = Duration::from_secs(60);
/// What a session needs for its first cells.
const NEEDED: u64 = 64 << 20;

/// Makes a folder whose name begins with `name` and the number of this process.
///
/// # Errors
/// No folder for temporary files can be used; why not, and what to do.
pub fn make(name: &str) -> Result<PathBuf, String> {
    let first = std::env::temp_dir();
    let mut others: Vec<PathBuf> = ["/tmp", "/var/tmp"].map(PathBuf::from).into();
    others.retain(|other| *other != first);
    make_in(&[vec![first], others].concat(), name)
}

fn make_in(folders: &[PathBuf], name: &str) -> Result<PathBuf, String> {
    let mut why = Vec::new();
    for folder in folders {
        match try_in(folder, name) {
            Ok(made) => {
                if let Some(why) = why.first() {
                    eprintln!("{why}; temporary files are in {} instead", folder.display());
                }
                return Ok(made);
            }
            Err(error) => why.push(format!("{}: {error}", folder.display())),
        }
    }
    Err(format!("no folder for temporary files can be used: {}\nto name another one: TMPDIR=/folder jupyter lab", why.join("; ")))
}

fn try_in(folder: &Path, name: &str) -> Result<PathBuf, String> {
    match machine::place(folder) {
        Some(Place { executes: false, .. }) => return Err("it is mounted noexec, and cells are loaded from it".into()),
        Some(Place { free, .. }) if free < NEEDED => return Err(format!("it is full: {} MB are free of {} MB", free >> 20, NEEDED >> 20)),
        _ => {}
    }
    sweep(folder, name);
    let failed = |error: std::io::Error| error.kind().to_string();
    // Everyone can write there, and cells are loaded from it: nobody else may guess the name, make the folder or read it.
    let mut private = tempfile::Builder::new();
    private.permissions(PermissionsExt::from_mode(0o700));
    let made = private.prefix(&format!("{name}{}-", std::process::id())).rand_bytes(16).tempdir_in(folder).map_err(failed)?;
    File::create(made.path().join(ALIVE)).map_err(failed)?;
    Ok(made.keep())
}

/// The lock of a folder, for as long as this process keeps it; none where the file system has no locks.
pub fn hold(folder: &Path) -> Option<File> {
    let alive = File::open(folder.join(ALIVE)).ok()?;
    alive.try_lock().ok().map(|()| alive)
}

/// The process that a folder with such a name belongs to.
pub fn owner(folder: &Path, name: &str) -> Option<u32> {
    folder.file_name()?.to_str()?.strip_prefix(name)?.split('-').next()?.parse().ok()
}

fn sweep(temporary: &Path, name: &str) {
    for entry in std::fs::read_dir(temporary).into_iter().flatten().flatten() {
        let folder = entry.path();
        let made = entry.metadata().and_then(|found| found.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        let is_new = made.elapsed().map_or(true, |age| age < NEW);
        let is_held = || File::open(folder.join(ALIVE)).is_ok_and(|alive| alive.try_lock().is_err());
        if owner(&folder, name).is_some_and(|owner| !process::exists(owner)) && !is_new && !is_held() {
            let _ = std::fs::remove_dir_all(&folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_private_and_stays_while_its_process_lives_anywhere() {
        let home = tempfile::tempdir().unwrap();
        let made = try_in(home.path(), "name-").unwrap();
        assert_eq!(std::fs::metadata(&made).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(owner(&made, "name-"), Some(std::process::id()));
        // No process of this namespace has such a number.
        let other = |text: &str| home.path().join(format!("name-{}-{text}", i32::MAX));
        let (held, dead, new) = (other("held"), other("dead"), other("new"));
        for folder in [&held, &dead, &new] {
            std::fs::create_dir(folder).unwrap();
            File::create(folder.join(ALIVE)).unwrap();
            if folder != &new {
                File::open(folder).unwrap().set_modified(SystemTime::now() - 2 * NEW).unwrap();
            }
        }
        let lock = hold(&held).unwrap();
        sweep(home.path(), "name-");
        assert!(made.exists() && held.exists() && new.exists() && !dead.exists());
        // A program that another test starts may have a copy of it still.
        lock.unlock().unwrap();
        sweep(home.path(), "name-");
        assert!(!held.exists() && new.exists());
    }

    #[test]
    fn a_folder_that_cannot_be_used_is_passed_over_and_none_is_an_error() {
        let home = tempfile::tempdir().unwrap();
        let gone = home.path().join("gone");
        assert!(make_in(&[gone.clone(), home.path().into()], "n-").unwrap().starts_with(home.path()));
        let error = make_in(std::slice::from_ref(&gone), "n-").unwrap_err();
        assert!(error.contains("gone: ") && error.ends_with("TMPDIR=/folder jupyter lab"), "{error}");
        // Where nothing is executed, nothing is loaded.
        if let Some(place) = machine::place(Path::new("/proc")) {
            assert!(place.executes || try_in(Path::new("/proc"), "n-").unwrap_err().contains("noexec"));
        }
    }
}
