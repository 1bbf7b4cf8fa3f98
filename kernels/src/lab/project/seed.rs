//! The folder that cargo builds in → one for another project, with what both need in it already.
//!
//! Libraries are names of the same files, so that they take no disk twice; cargo's notes, which it writes into, are copies. All keep the
//! time of their making, by which cargo knows that they are up to date.

use std::collections::HashSet;
use std::io;
use std::path::Path;

/// Fills `target`, a new folder, with what the folder of a build (`target/debug`) has of these packages.
///
/// # Errors
/// A file cannot be read or written.
pub fn seed(build: &Path, target: &Path, packages: &HashSet<String>) -> io::Result<()> {
    let new = target.join(build.file_name().unwrap_or_default());
    let mut hashes = HashSet::new();
    for entry in std::fs::read_dir(build.join(".fingerprint"))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((package, hash)) = name.rsplit_once('-').filter(|(package, _)| packages.contains(*package)) else { continue };
        let _ = package;
        hashes.insert(hash.to_string());
        tree(&entry.path(), &new.join(".fingerprint").join(&name), &|_| true)?;
    }
    std::fs::create_dir_all(new.join("deps"))?;
    for entry in std::fs::read_dir(build.join("deps"))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let stem = name.split_once('.').map_or(name.as_str(), |(stem, _)| stem);
        if stem.rsplit_once('-').is_some_and(|(_, hash)| hashes.contains(hash)) {
            file(&entry.path(), &new.join("deps").join(&name), name.ends_with(".d"))?;
        }
    }
    for entry in std::fs::read_dir(build.join("build"))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.rsplit_once('-').is_some_and(|(_, hash)| hashes.contains(hash)) {
            // What a build script said; the script itself is long.
            tree(&entry.path(), &new.join("build").join(&name), &|size| size < 1 << 16)?;
        }
    }
    for name in [".rustc_info.json", "CACHEDIR.TAG"] {
        let from = build.parent().unwrap_or(build).join(name);
        if from.exists() {
            file(&from, &target.join(name), true)?;
        }
    }
    Ok(())
}

/// All files of a folder; those of a length that `copies` are copied.
fn tree(from: &Path, to: &Path, copies: &dyn Fn(u64) -> bool) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)?.flatten() {
        let (about, to) = (entry.metadata()?, to.join(entry.file_name()));
        match about.is_dir() {
            true => tree(&entry.path(), &to, copies)?,
            false => file(&entry.path(), &to, copies(about.len()))?,
        }
    }
    Ok(())
}

/// A second name of a file, or a copy of its age where that is asked for or needed.
fn file(from: &Path, to: &Path, copy: bool) -> io::Result<()> {
    if !copy && std::fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    std::fs::copy(from, to)?;
    let time = std::fs::metadata(from)?.modified()?;
    std::fs::File::options().append(true).open(to)?.set_modified(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_taken_with_its_notes_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let build = folder.path().join("old/debug");
        for name in [".fingerprint/a-b-1", ".fingerprint/b-2", "build/a-b-1/out", "deps"] {
            std::fs::create_dir_all(build.join(name)).unwrap();
        }
        for name in [".fingerprint/a-b-1/note", "build/a-b-1/out/made", "deps/liba_b-1.rlib", "deps/libb-2.rlib", "deps/a_b-1.d"] {
            std::fs::write(build.join(name), name).unwrap();
        }
        let target = folder.path().join("new/target");
        seed(&build, &target, &HashSet::from(["a-b".to_string()])).unwrap();
        for (name, shares) in [(".fingerprint/a-b-1/note", false), ("build/a-b-1/out/made", false), ("deps/liba_b-1.rlib", true)] {
            let (old, new) = (build.join(name), target.join("debug").join(name));
            let time = |path: &Path| std::fs::metadata(path).unwrap().modified().unwrap();
            assert_eq!(time(&old), time(&new), "{name}");
            std::fs::write(&new, "changed").unwrap();
            assert_eq!(std::fs::read_to_string(&old).unwrap() == "changed", shares, "{name}");
        }
        assert!(!target.join("debug/deps/libb-2.rlib").exists() && !target.join("debug/.fingerprint/b-2").exists());
    }
}
