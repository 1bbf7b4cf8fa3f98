//! The dependencies of a cell → dynamic libraries, so that all cells share one copy of each crate and its statics.
//!
//! A library holds the crates that are new and is linked to those before it; the chain only grows. Where a crate cannot be
//! linked so, or one that is held was changed, every cell gets copies of its own, as evcxr does it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::kernel::rewrite::dependencies::{self, Dependency};

const LIST: &str = "libraries";
/// In the place of the list: no more libraries are made.
const GIVEN_UP: &str = "-";

/// What rustc says when crates cannot be linked together.
const BLAME: [&str; 5] =
    ["cannot satisfy dependencies", "`finetuning_cells_", "possibly newer version of crate", "StableCrateId", "linking with `"];

/// A dynamic library, and the files that are linked into it, each with the time when it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Library {
    name: String,
    holds: Vec<(String, String)>,
}

/// The libraries of a session.
#[derive(Debug)]
pub struct Libraries {
    folder: PathBuf,
    chain: Vec<Library>,
}

impl Libraries {
    /// Those that hold all dependencies in the words of a call of rustc, which is `program`; none when there are none, or when
    /// they cannot be made.
    pub fn of(folder: &Path, program: &OsStr, words: &[OsString]) -> Option<Libraries> {
        let list = std::fs::read_to_string(folder.join(LIST)).unwrap_or_default();
        if list == GIVEN_UP {
            return None;
        }
        let mut libraries = Libraries { folder: folder.into(), chain: list.lines().map(Library::read).collect() };
        let mut wanted = dependencies::dependencies(words);
        wanted.retain(|dependency| dependency.path.ends_with(".rlib"));
        let held = |wanted: &Dependency| libraries.chain.iter().flat_map(|library| &library.holds).find(|(path, _)| *path == wanted.path);
        let changed = wanted.iter().any(|wanted| held(wanted).is_some_and(|(_, made)| *made != wanted.made));
        let new: Vec<Dependency> = wanted.iter().filter(|wanted| held(wanted).is_none()).cloned().collect();
        if changed || (!new.is_empty() && libraries.make(&new, program, words).is_none()) {
            libraries.give_up();
            return None;
        }
        (!libraries.chain.is_empty()).then_some(libraries)
    }

    /// From now on, each cell gets its own copies.
    pub fn give_up(&self) {
        let _ = std::fs::write(self.folder.join(LIST), GIVEN_UP);
    }

    /// What the call of rustc for a cell needs in addition.
    pub fn arguments(&self) -> Vec<OsString> {
        // Found in the folder and not by `--extern`, which would make their names known to cells.
        vec!["-L".into(), self.folder.clone().into(), joined("-Clink-arg=-Wl,-rpath,", &self.folder)]
    }

    /// What the source of a cell needs in addition.
    pub fn declarations(&self) -> String {
        self.chain.iter().map(|library| format!("extern crate {} as _;\n", library.name)).collect()
    }

    /// Whether the messages of rustc are about how they are linked.
    pub fn are_blamed(&self, messages: &[u8]) -> bool {
        let text = String::from_utf8_lossy(messages);
        BLAME.iter().any(|words| text.contains(words))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{}{name}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX))
    }

    /// Links the new crates, after those that are linked already.
    fn make(&mut self, new: &[Dependency], program: &OsStr, words: &[OsString]) -> Option<()> {
        let name = format!("finetuning_cells_{}", self.chain.len() + 1);
        let crates = new.iter().map(|new| format!("pub extern crate {};\n", new.name));
        let source = self.folder.join(format!("{name}.rs"));
        std::fs::write(&source, self.declarations() + &crates.collect::<String>()).ok()?;
        let mut rustc = Command::new(program);
        rustc.args(["--crate-name", &name, "--edition", "2024", "--crate-type", "dylib", "-Cprefer-dynamic", "-Cstrip=debuginfo"]);
        rustc.arg(format!("-Cmetadata={name}")).args(self.arguments());
        rustc.args(words.windows(2).filter(|pair| pair[0] == "-L" || pair[0] == "--extern").flatten());
        rustc.arg("-o").arg(self.path(&name)).arg(&source);
        rustc.output().ok().filter(|output| output.status.success())?;
        self.chain.push(Library { name, holds: new.iter().map(|new| (new.path.clone(), new.made.clone())).collect() });
        let list: String = self.chain.iter().map(Library::write).collect();
        std::fs::write(self.folder.join(LIST), list).ok()
    }
}

impl Library {
    fn read(line: &str) -> Library {
        let mut words = line.split('\t').map(String::from);
        let name = words.next().unwrap_or_default();
        let (mut holds, mut rest) = (Vec::new(), words);
        while let (Some(path), Some(made)) = (rest.next(), rest.next()) {
            holds.push((path, made));
        }
        Library { name, holds }
    }

    fn write(&self) -> String {
        let holds: String = self.holds.iter().map(|(path, made)| format!("\t{path}\t{made}")).collect();
        format!("{}{holds}\n", self.name)
    }
}

fn joined(text: &str, path: &Path) -> OsString {
    let mut word = OsString::from(text);
    word.push(path);
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_grows_by_what_is_new_and_ends_when_a_crate_was_changed() {
        let folder = tempfile::tempdir().unwrap();
        let archive = |name: &str, text: &str| {
            let (source, path) = (folder.path().join(format!("{name}.rs")), folder.path().join(format!("lib{name}.rlib")));
            std::fs::write(&source, text).unwrap();
            let made = Command::new("rustc").args(["--crate-type", "rlib", "--crate-name", name, "-o"]).arg(&path).arg(&source).status();
            assert!(made.unwrap().success());
            ["--extern".into(), joined(&format!("{name}="), &path)]
        };
        let of = |words: &[OsString]| Libraries::of(folder.path(), "rustc".as_ref(), words);
        assert!(of(&[]).is_none());
        let one = archive("one", "pub static N: u8 = 1;");
        let first = of(&one).unwrap();
        assert_eq!((first.chain.len(), first.declarations().as_str()), (1, "extern crate finetuning_cells_1 as _;\n"));
        assert!(
            first.path("finetuning_cells_1").exists()
                && first.are_blamed(b"can't find crate for `finetuning_cells_1`")
                && !first.are_blamed(b"x")
        );
        let two = [one.clone(), archive("two", "pub fn f() {}")].concat();
        let second = of(&two).unwrap();
        assert_eq!((second.chain.len(), second.chain[1].holds.len()), (2, 1));
        assert_eq!(of(&one).unwrap().chain, second.chain);
        archive("one", "pub static N: u16 = 1;");
        assert!(of(&two).is_none());
        assert!(of(&one).is_none(), "for good");
    }
}
