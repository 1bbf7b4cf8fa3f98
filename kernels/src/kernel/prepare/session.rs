//! The temporary folder → a folder of one kernel, and the environment that its engine reads.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::kernel::marks::Marks;
use crate::kernel::prepare::{path, private, settings, unpack};

/// A folder of one kernel, removed at its end; folders of kernels that were killed are removed by the next one.
pub struct Session {
    folder: PathBuf,
    /// Its lock, for as long as the kernel runs.
    _alive: Option<File>,
}

/// Names libraries that the system loads into every program.
const PRELOAD: &str = "LD_PRELOAD";
/// Names the session's folder, in the environment of the kernel that has it.
const VARIABLE: &str = "FINETUNING_SESSION";
const NAME: &str = "finetuning-kernel-";

impl Session {
    /// Makes the folder, with `ctx` in it for evcxr.
    ///
    /// # Errors
    /// Nothing can be written in the folder for temporary files.
    pub fn new() -> Result<Session, String> {
        let folder = private::make(NAME)?;
        let failed = |error: std::io::Error| format!("{}: {error}; the folder for temporary files is named by TMPDIR", folder.display());
        for name in ["ctx", "comms", "state"] {
            std::fs::create_dir(folder.join(name)).map_err(failed)?;
        }
        Marks::create(&folder.join("marks")).map_err(failed)?;
        Ok(Session { folder, _alive: None })
    }

    /// The session that [`Session::enter`] gave to this process; a program that a cell starts has the variable, but not the
    /// session.
    pub fn entered() -> Option<Session> {
        let folder = PathBuf::from(std::env::var_os(VARIABLE)?);
        let is_own = private::owner(&folder, NAME) == Some(std::process::id()) && folder.is_dir();
        is_own.then(|| Session { _alive: private::hold(&folder), folder })
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
        if let Some(missing) = missing_preload(&std::env::var_os(PRELOAD).unwrap_or_default()) {
            eprintln!("{PRELOAD} names {missing}, which is not there; the kernel and its cells run without {PRELOAD}");
            again.env_remove(PRELOAD);
        }
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

/// The file among those of `LD_PRELOAD` that is not there: each program would say so, the compiler among them, whose words evcxr
/// has to understand.
fn missing_preload(files: &OsStr) -> Option<String> {
    let files = files.to_string_lossy().into_owned();
    files.split([':', ' ']).find(|file| file.contains('/') && !Path::new(file).exists()).map(str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_folder_is_new_and_known_by_its_process() {
        let (first, second) = (Session::new().unwrap(), Session::new().unwrap());
        assert_ne!(first.folder, second.folder);
        assert_eq!(private::owner(&first.folder, NAME), Some(std::process::id()));
        // This process lives, so nobody sweeps them.
        assert!(first.folder.exists() && second.folder.exists());
        first.remove();
        second.remove();
    }

    #[test]
    fn a_missing_file_to_preload_is_found_among_others() {
        let here = std::env::current_exe().unwrap().display().to_string();
        let missing = |files: &str| missing_preload(OsStr::new(files));
        assert_eq!(missing(&format!("libfirst.so:{here}")), None);
        assert_eq!(missing(&format!("{here} /no/such.so")), Some("/no/such.so".into()));
    }
}
