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
        self.command(words).output().unwrap()
    }

    /// `lab` in the folder, not started yet.
    pub fn command(&self, words: &[&str]) -> Command {
        let library = format!("{}finetuning{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
        let mut lab = Command::new(crate::LAB);
        lab.args(words).current_dir(self.path()).env("FINETUNING_COMPANION", self.join(&library));
        lab.env("FINETUNING_COMPANION_SOURCE", self.join("lib.rs")).env_remove("FINETUNING_WORK");
        lab
    }
}

/// A companion whose `check` solves an exercise with a number above 6, and notes it as the real one does.
pub const CHECK: &str = r#"
pub fn check(number: &str, value: u32) -> Result<(), String> {
    let work = std::env::var("FINETUNING_WORK").map_or_else(|_| std::env::current_dir().unwrap(), Into::into);
    let text = format!("{{\"exercises\": {{\"{number}\": {{\"tries\": 1, \"solved\": {}}}}}}}", value > 6);
    std::fs::write(work.join("progress.json"), text).unwrap();
    if value > 6 {
        println!("{number} is solved (1 of 24 exercises)");
        return Ok(());
    }
    Err(format!("{number} is not solved yet: too small\nhint: more"))
}
"#;

/// A notebook of code cells.
pub fn notebook(codes: &[&str]) -> Notebook {
    let cell = |(place, code): (usize, &&str)| NotebookCell::new(Kind::Code, format!("cell-{place}"), *code);
    Notebook::new(codes.iter().enumerate().map(cell).collect())
}

/// Reads a notebook.
pub fn read(file: &Path) -> Notebook {
    Notebook::read(&std::fs::read_to_string(file).unwrap()).unwrap()
}
