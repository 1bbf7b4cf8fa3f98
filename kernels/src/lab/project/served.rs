//! The call of rustc that cargo makes for a crate of the companion → the library that set-up has built, under the name that cargo asks for.
//!
//! cargo names a crate after the project that builds it, so it would compile the companion once more for every exported project, in
//! minutes. This program stands between cargo and rustc while an export builds: what was built with the same features, at the same level
//! and of the same crates is copied; every other call goes to rustc.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Names the folder of the build, in the environment of cargo; this program is to act as rustc then.
pub const BUILT: &str = "FINETUNING_BUILT";
/// Names the folder that the build was made in.
pub const ROOT: &str = "FINETUNING_BUILT_IN";

/// The companion's own crates: their package and their name in Rust.
pub const CRATES: [(&str, &str); 3] =
    [("finetuning", "finetuning"), ("finetuning-compute", "finetuning_compute"), ("finetuning-unify", "finetuning_unify")];

/// Acts as the compiler that the first argument names.
pub fn run(build: &Path) -> ! {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let Some((program, words)) = words.split_first() else {
        eprintln!("a compiler and its arguments are expected");
        std::process::exit(1)
    };
    let root = std::env::var_os(ROOT).map(PathBuf::from).unwrap_or_default();
    if Call::read(words).is_some_and(|call| call.serve(build, &root).is_ok_and(|served| served)) {
        std::process::exit(0)
    }
    let error = Command::new(program).args(words).exec();
    eprintln!("{}: {error}", program.display());
    std::process::exit(1)
}

/// What cargo asks rustc for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Call {
    name: String,
    folder: PathBuf,
    /// What cargo puts behind the name of the file.
    suffix: String,
    level: String,
    features: BTreeSet<String>,
    /// The files of the crates that it uses.
    uses: Vec<PathBuf>,
}

impl Call {
    /// The call for a library of the companion; none for another crate.
    fn read(words: &[OsString]) -> Option<Call> {
        let words: Vec<&str> = words.iter().map(|word| word.to_str()).collect::<Option<_>>()?;
        let mut call = Call::default();
        let (mut library, mut links) = (false, false);
        for (at, word) in words.iter().enumerate() {
            links |= word.starts_with("--emit") && word.contains("link");
            let Some(value) = words.get(at + 1) else { continue };
            match *word {
                "--crate-name" => call.name = (*value).into(),
                "--crate-type" => library = *value == "lib",
                "--out-dir" => call.folder = value.into(),
                "--extern" => call.uses.extend(value.split_once('=').map(|(_, path)| PathBuf::from(path))),
                "--cfg" => call.features.extend(value.strip_prefix("feature=").map(|name| name.trim_matches('"').to_string())),
                "-C" => match value.split_once('=') {
                    Some(("extra-filename", suffix)) => call.suffix = suffix.into(),
                    Some(("opt-level", level)) => call.level = level.into(),
                    _ => {}
                },
                _ => {}
            }
        }
        let ours = CRATES.iter().any(|(_, name)| call.name == *name);
        (ours && library && links && !call.suffix.is_empty()).then_some(call)
    }

    /// Copies what is built, if it is what the call asks for.
    fn serve(&self, build: &Path, root: &Path) -> io::Result<bool> {
        let Some(stem) = built(build, &self.name)? else { return Ok(false) };
        let dependencies = build.join("deps");
        let known = |file: &PathBuf| {
            let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            CRATES.iter().any(|(_, own)| name.starts_with(&format!("lib{own}-"))) || dependencies.join(name).exists()
        };
        if self.level != level() || !self.uses.iter().all(known) || features(build, &self.name, &stem)? != self.features {
            return Ok(false);
        }
        let made = |end: &str| self.folder.join(format!("lib{}{}.{end}", self.name, self.suffix));
        let sources = std::fs::read_to_string(dependencies.join(format!("{stem}.d")))?;
        let list = self.folder.join(format!("{}{}.d", self.name, self.suffix));
        std::fs::write(&list, absolute(&sources, root, &made("rlib")))?;
        for end in ["rmeta", "rlib"] {
            // A copy, and no link: cargo takes a library that is older than what it is made of for out of date.
            let _ = std::fs::remove_file(made(end));
            std::io::copy(
                &mut std::fs::File::open(dependencies.join(format!("lib{stem}.{end}")))?,
                &mut std::fs::File::create(made(end))?,
            )?;
        }
        Ok(true)
    }
}

/// The level at which the workspace compiles its own crates.
fn level() -> String {
    super::manifest::workspace_level().to_string()
}

/// The name in `deps` of the library that cargo built last: the same file as the one that it put beside.
fn built(build: &Path, name: &str) -> io::Result<Option<String>> {
    let library = std::fs::metadata(build.join(format!("lib{name}.rlib")))?.ino();
    let start = format!("lib{name}-");
    for entry in std::fs::read_dir(build.join("deps"))?.flatten() {
        let file = entry.file_name();
        let stem = file.to_str().filter(|file| file.starts_with(&start)).and_then(|file| file.strip_suffix(".rlib"));
        if let Some(stem) = stem.filter(|_| entry.metadata().is_ok_and(|about| about.ino() == library)) {
            return Ok(stem.strip_prefix("lib").map(str::to_string));
        }
    }
    Ok(None)
}

/// The features that a library was built with, as cargo noted them.
fn features(build: &Path, name: &str, stem: &str) -> io::Result<BTreeSet<String>> {
    let hash = stem.rsplit_once('-').map_or("", |(_, hash)| hash);
    let package = CRATES.iter().find(|(_, own)| *own == name).map_or(name, |(package, _)| package);
    let note = std::fs::read_to_string(build.join(".fingerprint").join(format!("{package}-{hash}")).join(format!("lib-{name}.json")))?;
    let note: Value = serde_json::from_str(&note)?;
    Ok(serde_json::from_str(note["features"].as_str().unwrap_or_default())?)
}

/// The list of sources that rustc wrote, with the paths as they are from anywhere.
fn absolute(list: &str, root: &Path, made: &Path) -> String {
    let line = |line: &str| {
        let Some((target, sources)) = line.split_once(':').filter(|_| !line.starts_with('#')) else { return line.to_string() };
        let place = |path: &str| if path.is_empty() || path.starts_with('/') { path.into() } else { format!("{}/{path}", escaped(root)) };
        // A blank inside of a path stands behind a backslash.
        let sources = sources.replace("\\ ", "\0");
        let sources: Vec<String> = sources.split(' ').map(|path| place(&path.replace('\0', "\\ "))).collect();
        let target = if sources.iter().any(|path| !path.is_empty()) { escaped(made) } else { place(target) };
        format!("{target}:{}", sources.join(" "))
    };
    list.lines().map(|text| line(text) + "\n").collect()
}

fn escaped(path: &Path) -> String {
    path.to_string_lossy().replace(' ', "\\ ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').map(Into::into).collect()
    }

    const CALL: &str = "--crate-name finetuning_compute --edition=2024 /r/lib/compute/src/lib.rs --crate-type lib \
        --emit=dep-info,metadata,link -C opt-level=2 --cfg feature=\"checked\" -C metadata=1 -C extra-filename=-new --out-dir OUT \
        --extern libc=/t/deps/liblibc-1.rmeta";

    #[test]
    fn only_a_library_of_the_companion_is_served() {
        let call = Call::read(&words(CALL)).unwrap();
        assert_eq!((call.name.as_str(), call.suffix.as_str(), call.level.as_str()), ("finetuning_compute", "-new", "2"));
        assert_eq!(call.uses, [PathBuf::from("/t/deps/liblibc-1.rmeta")]);
        assert!(call.features.contains("checked"));
        for (from, to) in
            [("finetuning_compute", "libc"), ("--crate-type lib", "--crate-type bin"), ("dep-info,metadata,link", "dep-info,metadata")]
        {
            assert_eq!(Call::read(&words(&CALL.replacen(from, to, 1))), None, "{to}");
        }
    }

    #[test]
    fn what_is_built_of_the_same_crates_and_features_is_copied_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (build, out) = (folder.path().join("build"), folder.path().join("out"));
        let note = build.join(".fingerprint/finetuning-compute-old");
        for folder in [&build.join("deps"), &note, &out] {
            std::fs::create_dir_all(folder).unwrap();
        }
        for (file, text) in [
            ("libfinetuning_compute-old.rlib", "library"),
            ("libfinetuning_compute-old.rmeta", "types"),
            ("libfinetuning_compute-other.rlib", "of a test"),
            ("liblibc-1.rmeta", ""),
            ("finetuning_compute-old.d", "/t/x.d: lib/a\\ b.rs /abs.rs\n\nlib/a\\ b.rs:\n# env-dep:X=1:2\n"),
        ] {
            std::fs::write(build.join("deps").join(file), text).unwrap();
        }
        std::fs::hard_link(build.join("deps/libfinetuning_compute-old.rlib"), build.join("libfinetuning_compute.rlib")).unwrap();
        std::fs::write(note.join("lib-finetuning_compute.json"), "{\"features\": \"[\\\"checked\\\"]\"}").unwrap();
        let serve = |text: String| {
            let call = Call::read(&words(&text.replace("OUT", out.to_str().unwrap()))).unwrap();
            call.serve(&build, Path::new("/the root")).unwrap()
        };
        for (from, to) in [("\"checked\"", "\"cuda\""), ("opt-level=2", "opt-level=1"), ("liblibc-1", "liblibc-2")] {
            assert!(!serve(CALL.replace(from, to)), "{to}");
        }
        assert_eq!(std::fs::read_dir(&out).unwrap().count(), 0);
        assert!(serve(CALL.into()));
        assert_eq!(std::fs::read_to_string(out.join("libfinetuning_compute-new.rlib")).unwrap(), "library");
        assert_eq!(std::fs::read_to_string(out.join("libfinetuning_compute-new.rmeta")).unwrap(), "types");
        let list = std::fs::read_to_string(out.join("finetuning_compute-new.d")).unwrap();
        let made = out.join("libfinetuning_compute-new.rlib");
        let expected = format!("{}: /the\\ root/lib/a\\ b.rs /abs.rs\n\n/the\\ root/lib/a\\ b.rs:\n# env-dep:X=1:2\n", made.display());
        assert_eq!(list, expected);
    }
}
