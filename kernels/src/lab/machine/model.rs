//! A package of PyPI with a model in it → the model's files in the user's cache, fetched once and checked.
//!
//! The cache lies outside the repository, so that a second copy of it fetches nothing: `FINETUNING_CACHE`, else
//! `$XDG_CACHE_HOME/finetuning`, else `~/.cache/finetuning`; the companion looks for `builtin:` names there, by the same list.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::lab::failure::Failure;
use crate::lab::machine::python;
use crate::lab::machine::steps::{Done, say};
use crate::spawn;

/// What is fetched, for the companion as well.
const LIST: &str = include_str!("../../../../lib/src/source/fetched.json");

/// A model in a package.
#[derive(Debug, Clone, Deserialize)]
pub struct Model {
    /// What cells call it, after `builtin:`.
    pub name: String,
    /// What it is called where it comes from.
    pub title: String,
    /// What the package weighs.
    megabytes: u32,
    /// The package with its exact version.
    package: String,
    /// SHA-256 of the package's wheel.
    wheel: String,
    files: Vec<Part>,
}

/// A file in a wheel.
#[derive(Debug, Clone, Deserialize)]
struct Part {
    member: String,
    size: u64,
    sha256: String,
}

impl Part {
    fn name(&self) -> &str {
        self.member.rsplit('/').next().unwrap_or(&self.member)
    }
}

/// The models that do not ship with the repository.
pub fn fetched() -> Vec<Model> {
    serde_json::from_str(LIST).expect("lib/src/source/fetched.json lists models")
}

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

/// The names of those that are not on this machine.
pub fn missing() -> Vec<String> {
    fetched().into_iter().filter(|model| !model.is_there()).map(|model| model.name).collect()
}

impl Model {
    /// Where its files lie, or will lie, on this machine.
    pub fn folder(&self) -> PathBuf {
        cache().join("models").join(&self.name)
    }

    fn paths(&self) -> impl Iterator<Item = (PathBuf, &Part)> {
        let folder = self.folder();
        self.files.iter().map(move |part| (folder.join(part.name()), part))
    }

    /// Whether its files are there and whole, by their lengths.
    pub fn is_there(&self) -> bool {
        self.paths().all(|(path, part)| std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() == part.size))
    }

    /// The first file that does not have the bytes that were fetched; reads the files.
    fn damaged(&self) -> Option<PathBuf> {
        self.paths().find(|(path, part)| checksum(path).map_or(true, |sum| sum != part.sha256)).map(|(path, _)| path)
    }

    /// What a reader can expect of it; reads the whole files to compare their checksums.
    ///
    /// # Errors
    /// A file is there, but too short or too long, or its bytes are others.
    pub fn verify(&self) -> Result<String, Failure> {
        if self.paths().any(|(path, _)| !path.exists()) {
            return Ok(format!("{} is not fetched, the lessons run without it; `cargo lab setup` fetches it", self.title));
        }
        match self.damaged() {
            None => Ok(format!("builtin:{} is {}", self.name, self.title)),
            Some(path) => {
                let what = format!("{} is not what was fetched: {}", self.title, path.display());
                Err(Failure::new(what, format!("rm -rf '{}' && cargo lab setup", self.folder().display())))
            }
        }
    }

    /// Fetches the files where one is missing or not whole. The lessons also run without them, so a failure is said and is none; it
    /// is remembered, so that a later start without a network waits for no answer unless it is told to ask `again`: then the
    /// bytes of the files are looked at as well.
    ///
    /// # Errors
    /// The cache cannot be written.
    pub fn fetch(&self, python: &Path, again: bool) -> Result<Done, Failure> {
        if self.is_there() && (!again || self.damaged().is_none()) {
            return Ok(Done::Fresh);
        }
        let folder = self.folder();
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
        if self.is_there() {
            say(&format!("{} is not what was fetched, in {}", self.title, folder.display()));
        }
        say(&format!("fetching {} ({} MB) into {}", self.title, self.megabytes, folder.display()));
        Ok(Done::Made(match self.unpack(python, work.path()) {
            Ok(files) => {
                for (file, (path, _)) in files.iter().zip(self.paths()) {
                    std::fs::rename(file, path).map_err(unwritable)?;
                }
                let _ = std::fs::remove_file(failed);
                "fetched".into()
            }
            Err(obstacle) => {
                std::fs::write(failed, obstacle.words()).map_err(unwritable)?;
                format!("NOT fetched: {}", obstacle.words())
            }
        }))
    }

    /// Downloads the package and takes the files out of it, all checked.
    fn unpack(&self, python: &Path, work: &Path) -> Result<Vec<PathBuf>, Obstacle> {
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
        let file = |part: &Part| {
            let file = work.join(&part.member);
            match checksum(&file).map_err(Obstacle::of)? == part.sha256 {
                true => Ok(file),
                false => Err(Obstacle::Checksum),
            }
        };
        self.files.iter().map(file).collect()
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
        format!("{why}; the lessons run without it, and `cargo lab setup` tries again")
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

    /// A package of our own with two small files in it, in a folder that stands for the index.
    fn wheel(folder: &Path) -> Model {
        let wheel = folder.join("tiny_model-1.0-py3-none-any.whl");
        let script = "import sys, zipfile\nw = zipfile.ZipFile(sys.argv[1], 'w')\nw.writestr('tiny_model/m.gguf', 'the model')\n\
            w.writestr('tiny_model/config.json', '{}')\n\
            w.writestr('tiny_model-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: tiny-model\\nVersion: 1.0\\n')\n\
            w.writestr('tiny_model-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n\
            w.writestr('tiny_model-1.0.dist-info/RECORD', '')\nw.close()";
        assert!(spawn::succeeds(Command::new("python3").args(["-c", script]).arg(&wheel)));
        let part = |member: &str, content: &[u8]| Part {
            member: member.into(),
            size: content.len() as u64,
            sha256: Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect(),
        };
        Model {
            name: "tiny".into(),
            title: "Tiny".into(),
            megabytes: 1,
            package: "tiny-model==1.0".into(),
            wheel: checksum(&wheel).unwrap(),
            files: vec![part("tiny_model/m.gguf", b"the model"), part("tiny_model/config.json", b"{}")],
        }
    }

    fn unpack(model: &Model, index: &Path, work: &Path) -> Result<Vec<PathBuf>, Obstacle> {
        let program = work.join("python");
        let script = format!("#!/bin/sh\nPIP_NO_INDEX=1 PIP_FIND_LINKS='{}' exec python3 \"$@\"\n", index.display());
        // A process of its own writes the program: a child of another test, started while it is open here, would keep it from starting.
        let written = "printf %s \"$1\" >\"$0\" && chmod 755 \"$0\"";
        assert!(std::process::Command::new("sh").arg("-c").arg(written).arg(&program).arg(script).status().unwrap().success());
        model.unpack(&program, work)
    }

    #[test]
    fn the_files_of_a_package_are_taken_when_all_checksums_are_right() {
        let (index, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let model = wheel(index.path());
        let files = unpack(&model, index.path(), work.path()).unwrap();
        assert_eq!(files.iter().map(|file| std::fs::read(file).unwrap()).collect::<Vec<_>>(), [&b"the model"[..], b"{}"]);
        let other = "0000000000000000000000000000000000000000000000000000000000000000".to_string();
        let mut changed = vec![Model { wheel: other.clone(), ..wheel(index.path()) }; 3];
        for (file, model) in changed[1..].iter_mut().enumerate() {
            *model = wheel(index.path());
            model.files[file].sha256.clone_from(&other);
        }
        for model in changed {
            let work = tempfile::tempdir().unwrap();
            assert_eq!(unpack(&model, index.path(), work.path()), Err(Obstacle::Checksum));
        }
        let (nothing, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert_eq!(unpack(&model, nothing.path(), work.path()), Err(Obstacle::Network));
    }

    #[test]
    fn the_list_names_whole_files_of_pinned_packages() {
        let digits = |sum: &str| sum.len() == 64 && sum.chars().all(|digit| digit.is_ascii_hexdigit());
        for model in fetched() {
            assert!(model.package.contains("==") && digits(&model.wheel) && !model.files.is_empty(), "{model:?}");
            assert!(model.files.iter().all(|part| part.size > 0 && digits(&part.sha256)), "{model:?}");
            // What the companion looks for.
            assert!(model.folder().ends_with(format!("models/{}", model.name)));
        }
        assert!(fetched().iter().any(|model| model.name == "smol" && model.files[0].name() == "SmolLM2-135M-Instruct.Q4_1.gguf"));
    }
}
