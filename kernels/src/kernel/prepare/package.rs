//! The note `package.json` beside this program → where the parts of an unpacked package lie: a tree of sources, the companion made for
//! one compiler, and what rust-analyzer reads.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::spawn;

/// The name of the note.
pub const NOTE: &str = "package.json";

/// A package as its note tells of it; all paths are seen from the folder of the note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// The folder with `Cargo.toml`, `lib` and `notebooks`.
    pub root: PathBuf,
    pub compiler: Compiler,
    /// Crates whose types reach cells, for type inference.
    pub crates: Vec<Source>,
}

/// A compiler: libraries of one are of no use to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compiler {
    pub commit: String,
    pub version: String,
    pub host: String,
}

/// The source of a crate, as cargo resolved it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    pub name: String,
    pub library: String,
    pub edition: String,
    /// The file of its root.
    pub source: PathBuf,
    pub features: Vec<String>,
    pub dependencies: Vec<String>,
}

impl Compiler {
    /// The compiler on PATH.
    ///
    /// # Errors
    /// There is none, or it does not say what it is.
    pub fn installed() -> Result<Compiler, String> {
        Compiler::read(&spawn::output(Command::new("rustc").arg("-vV"), "rustc does not say its version")?)
    }

    fn read(text: &str) -> Result<Compiler, String> {
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            line.map(str::to_string).ok_or_else(|| format!("rustc -vV does not say its {name}"))
        };
        Ok(Compiler { commit: field("commit-hash")?, version: field("release")?, host: field("host")? })
    }
}

impl Package {
    /// The package whose note lies in a folder, with whole paths; none where there is no note.
    pub fn read(folder: &Path) -> Option<Package> {
        let mut package: Package = serde_json::from_slice(&std::fs::read(folder.join(NOTE)).ok()?).ok()?;
        package.root = folder.join(&package.root).canonicalize().ok()?;
        package.crates.iter_mut().for_each(|found| found.source = folder.join(&found.source));
        Some(package)
    }

    /// The package that this program belongs to.
    pub fn own() -> Option<&'static Package> {
        static OWN: OnceLock<Option<Package>> = OnceLock::new();
        OWN.get_or_init(|| Package::read(std::env::current_exe().ok()?.parent()?)).as_ref()
    }

    /// Where the companion is built for another compiler than the package's: a folder of the user's cache. None where the compiler is
    /// the same.
    pub fn rebuilt(&self) -> Option<&'static Path> {
        static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
        let other = || {
            let found = Compiler::installed().ok()?;
            (found.commit != self.compiler.commit).then(|| cache().join(format!("built-{}-{}", env!("CARGO_PKG_VERSION"), found.commit)))
        };
        FOLDER.get_or_init(other).as_deref()
    }
}

/// The folder in which this user keeps what is made or fetched once.
fn cache() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || std::env::home_dir().unwrap_or_else(|| PathBuf::from("."));
    variable("FINETUNING_CACHE").unwrap_or_else(|| variable("XDG_CACHE_HOME").unwrap_or_else(|| home().join(".cache")).join("finetuning"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_from_where_it_lies() {
        let folder = tempfile::tempdir().unwrap();
        let build = folder.path().join("build");
        std::fs::create_dir(&build).unwrap();
        assert_eq!(Package::read(&build), None);
        let text = "rustc 1.2.3\nbinary: rustc\ncommit-hash: 0a1b\nhost: x86_64-unknown-linux-gnu\nrelease: 1.2.3\n";
        let compiler = Compiler::read(text).unwrap();
        assert_eq!((compiler.commit.as_str(), compiler.version.as_str()), ("0a1b", "1.2.3"));
        assert!(Compiler::read("rustc 1.2.3").unwrap_err().contains("commit-hash"));
        let source = Source {
            name: "polars".into(),
            library: "polars".into(),
            edition: "2024".into(),
            source: "crates/polars/src/lib.rs".into(),
            features: vec!["fmt".into()],
            dependencies: Vec::new(),
        };
        let package = Package { root: "..".into(), compiler, crates: vec![source] };
        std::fs::write(build.join(NOTE), serde_json::to_string(&package).unwrap()).unwrap();
        let read = Package::read(&build).unwrap();
        assert_eq!(read.root, folder.path().canonicalize().unwrap());
        assert_eq!(read.crates[0].source, build.join("crates/polars/src/lib.rs"));
        assert!(Package::own().is_none(), "the tests are no package");
    }

    #[test]
    fn the_installed_compiler_says_what_it_is() {
        let found = Compiler::installed().unwrap();
        assert_eq!(found.commit.len(), 40, "{found:?}");
        assert!(found.version.starts_with("1."), "{found:?}");
    }
}
