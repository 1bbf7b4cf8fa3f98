//! The temporary folder → a folder of one kernel, and the environment that its engine reads.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::kernel::marks::Marks;
use crate::kernel::prepare::{path, settings, unpack};
use crate::system::process;

/// A folder of one kernel, removed at its end; folders of kernels that were killed are removed by the next one.
pub struct Session {
    folder: PathBuf,
}

/// Names the session's folder, in the environment of the kernel that has it.
const VARIABLE: &str = "FINETUNING_SESSION";
const NAME: &str = "finetuning-kernel-";

impl Session {
    /// Makes the folder, with `ctx` in it for evcxr.
    ///
    /// # Errors
    /// Nothing can be written in the folder for temporary files.
    pub fn new() -> Result<Session, String> {
        let temporary = std::env::temp_dir();
        sweep(&temporary);
        // Everyone can write there, and cells are loaded from it: nobody else may guess the name, make the folder or read it.
        let mut private = tempfile::Builder::new();
        private.permissions(PermissionsExt::from_mode(0o700));
        let made = private.prefix(&format!("{NAME}{}-", std::process::id())).rand_bytes(16).tempdir_in(&temporary);
        let failed = |error| format!("{}: {error}; the folder for temporary files is named by TMPDIR", temporary.display());
        let made = made.map_err(failed)?;
        for name in ["ctx", "comms", "state"] {
            std::fs::create_dir(made.path().join(name)).map_err(failed)?;
        }
        Marks::create(&made.path().join("marks")).map_err(failed)?;
        Ok(Session { folder: made.keep() })
    }

    /// The session that [`Session::enter`] gave to this process; a program that a cell starts has the variable, but not the
    /// session.
    pub fn entered() -> Option<Session> {
        let folder = PathBuf::from(std::env::var_os(VARIABLE)?);
        let name = folder.file_name()?.to_str()?.strip_prefix(NAME)?;
        (pid_of(name) == Some(std::process::id()) && folder.is_dir()).then_some(Session { folder })
    }

    /// Runs this program anew in this process, with the environment that evcxr and rust-analyzer read; returns only when
    /// that fails.
    pub fn enter(self, root: &Path) -> String {
        let program = match std::env::current_exe() {
            Ok(program) => program,
            Err(error) => return format!("the path of this program: {error}"),
        };
        let mut again = Command::new(&program);
        again.args(std::env::args_os().skip(1)).envs(self.variables(root));
        let error = again.exec();
        self.remove();
        format!("{}: {error}", program.display())
    }

    fn variables(&self, root: &Path) -> Vec<(&'static str, OsString)> {
        let mut variables: Vec<(&'static str, OsString)> = vec![
            (VARIABLE, self.folder.clone().into()),
            ("EVCXR_TMPDIR", self.folder.join("ctx").into()),
            ("EVCXR_CONFIG_DIR", self.folder.clone().into()),
        ];
        variables.extend(evcxr::config_dir().map(|folder| (settings::FOLDER, folder.into())));
        variables.extend(path::with_rustc().map(|path| ("PATH", path)));
        // The source of std that this program carries: the same inference on every machine, with or without rust-src.
        if std::env::var_os("RUST_SRC_PATH").is_none() {
            variables.push(("RUST_SRC_PATH", unpack::std_source(root).into()));
        }
        variables
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What front ends send to comms.
    pub fn comms(&self) -> PathBuf {
        self.folder.join("comms")
    }

    /// The secrets by which the kernel's marks are known.
    pub fn marks(&self) -> PathBuf {
        self.folder.join("marks")
    }

    /// What is known of the state of the cells.
    pub fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// The source that evcxr wrote last.
    pub fn source(&self) -> PathBuf {
        self.folder.join("ctx/src/lib.rs")
    }

    /// The interrupt flag.
    pub fn flag(&self) -> PathBuf {
        self.folder.join("interrupt")
    }

    /// Writes the configuration that evcxr reads when it starts.
    ///
    /// # Errors
    /// The folder is gone or full.
    pub fn configure(&self, settings: &str) -> Result<(), String> {
        let file = self.folder.join("evcxr.toml");
        std::fs::write(&file, settings).map_err(|error| format!("{}: {error}", file.display()))
    }

    /// Removes the folder.
    pub fn remove(&self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The process that a session folder belongs to.
fn pid_of(name: &str) -> Option<u32> {
    name.split('-').next()?.parse().ok()
}

fn sweep(temporary: &Path) {
    for entry in std::fs::read_dir(temporary).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.strip_prefix(NAME)).and_then(pid_of) else { continue };
        if !process::exists(pid) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_folder_is_private_new_and_known_by_its_process() {
        let (first, second) = (Session::new().unwrap(), Session::new().unwrap());
        assert_ne!(first.folder, second.folder);
        assert_eq!(std::fs::metadata(&first.folder).unwrap().permissions().mode() & 0o777, 0o700);
        let name = first.folder.file_name().unwrap().to_str().unwrap().strip_prefix(NAME).unwrap();
        assert_eq!(pid_of(name), Some(std::process::id()));
        // This process lives, so nobody sweeps them.
        assert!(first.folder.exists() && second.folder.exists());
        first.remove();
        second.remove();
    }
}
