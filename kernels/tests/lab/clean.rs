//! `cargo lab clean` on folders that look like the repository's: what goes, and what stays.

use std::path::Path;
use std::process::Command;

use crate::{LAB, install};

fn write(root: &Path, name: &str) {
    std::fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
    std::fs::write(root.join(name), [0; 1000]).unwrap();
}

/// The files below a folder, without the program that was put there.
fn files(root: &Path) -> Vec<String> {
    let mut found: Vec<String> = std::fs::read_dir(root)
        .unwrap()
        .flatten()
        .flat_map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { vec![entry.path().display().to_string()] })
        .collect();
    found.sort();
    found
}

#[test]
fn builds_and_environment_go_and_all_of_the_readers_stays() {
    let home = tempfile::tempdir().unwrap();
    let root = home.path();
    // The program lies where cargo puts it: clean removes the builds that it belongs to.
    let program = root.join("target/debug/lab");
    install(&program, &std::fs::read(LAB).unwrap());
    let made =
        [".lab/venv/bin/python", ".lab/venv.stamp", ".lab/pip.log", ".lab/std-src-1/lib.rs", "target/CACHEDIR.TAG", "target/debug/deps/a"];
    let own = [".lab/history.jsonl", ".lab/jupyter/settings/theme", ".lab/cache/models/smol/a.gguf", "notebooks/a.ipynb", "work/a.ipynb"];
    made.iter().chain(&own).for_each(|name| write(root, name));
    let lab = |words: &[&str]| {
        let output = Command::new(&program).args(words).env("FINETUNING_ROOT", root).env_remove("FINETUNING_WORK").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let before = files(root);
    let words = lab(&["clean", "--dry-run"]);
    assert!(words.contains("would be freed") && words.contains("0.0 MB") && words.contains(".lab/venv"), "{words}");
    assert_eq!(files(root), before);
    let words = lab(&["clean"]);
    assert!(words.contains(" GB freed."), "{words}");
    let mut kept = own.map(|name| root.join(name).display().to_string());
    kept.sort();
    assert_eq!(files(root), kept);
}

#[test]
fn a_folder_that_is_not_cargos_is_left_alone() {
    let home = tempfile::tempdir().unwrap();
    let program = home.path().join("photos/debug/lab");
    install(&program, &std::fs::read(LAB).unwrap());
    write(home.path(), "photos/a.png");
    let status = Command::new(&program).arg("clean").env("FINETUNING_ROOT", home.path()).status().unwrap();
    assert!(status.success() && home.path().join("photos/a.png").exists());
}
