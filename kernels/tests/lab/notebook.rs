//! Notebooks for the tests, and a folder to run them in.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use notebooks::{Kind, Notebook, NotebookCell};
use tempfile::TempDir;

/// A folder with a small crate in the companion's place, removed at the end.
pub struct Folder(TempDir);

impl Folder {
    /// A folder whose companion has these items.
    pub fn new(companion: &str) -> Folder {
        let folder = tempfile::Builder::new().prefix("finetuning-lab-").tempdir().unwrap();
        std::fs::write(folder.path().join("lib.rs"), companion).unwrap();
        let mut rustc = Command::new("rustc");
        rustc.args(["--crate-name", "finetuning", "--edition", "2024", "--crate-type", "dylib", "-Cprefer-dynamic", "lib.rs"]);
        assert!(rustc.current_dir(folder.path()).status().unwrap().success());
        Folder(folder)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path().join(name)
    }

    /// Runs `lab` in the folder.
    pub fn lab(&self, words: &[&str]) -> Output {
        let library = format!("{}finetuning{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
        let mut lab = Command::new(crate::LAB);
        lab.args(words).current_dir(self.path()).env("FINETUNING_COMPANION", self.join(&library));
        lab.env("FINETUNING_COMPANION_SOURCE", self.join("lib.rs")).output().unwrap()
    }
}

/// A notebook of code cells.
pub fn notebook(codes: &[&str]) -> Notebook {
    let cell = |(place, code): (usize, &&str)| NotebookCell::new(Kind::Code, format!("cell-{place}"), *code);
    Notebook::new(codes.iter().enumerate().map(cell).collect())
}

/// Reads a notebook.
pub fn read(file: &Path) -> Notebook {
    Notebook::read(&std::fs::read_to_string(file).unwrap()).unwrap()
}
