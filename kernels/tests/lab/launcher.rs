//! The launcher from the outside: its answers when something is missing, and the way from a lesson to a notebook.
//!
//! Each test has a repository of its own in the temporary folder and, where Python matters, a Python of its own.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::{LAB, install};

/// A folder that looks like the repository, removed at the end.
struct Repository(TempDir);

impl Repository {
    fn new() -> Repository {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("notebooks/lessons")).unwrap();
        std::fs::create_dir_all(folder.path().join("bin")).unwrap();
        Repository(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// A `python3` on the launcher's PATH that answers with a shell script.
    fn python(&self, script: &str) -> &Repository {
        install(&self.path().join("bin/python3"), format!("#!/bin/sh\n{script}\n").as_bytes());
        self
    }

    fn lab(&self, words: &[&str]) -> Output {
        let mut lab = Command::new(LAB);
        lab.args(words).current_dir(self.path()).env("FINETUNING_ROOT", self.path()).env("PATH", self.path().join("bin"));
        lab.env_remove("FINETUNING_WORK");
        lab.output().unwrap()
    }

    /// The words on stderr of a command that must fail.
    fn failure(&self, words: &[&str]) -> String {
        let output = self.lab(words);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

/// A Python that says its version and whether it has venv, and else does what the script says.
fn answers(version: &str, venv: u8, script: &str) -> String {
    format!("case \"$1\" in -c) echo {version} {venv} \"$0\" ;; *) {script} ;; esac")
}

#[test]
fn a_missing_python_is_named() {
    let words = Repository::new().failure(&["--no-browser"]);
    assert!(words.starts_with("error: there is no Python on PATH: JupyterLab needs Python 3.9 or later\nfix:   "), "{words}");
}

#[test]
fn an_old_python_is_named() {
    let repository = Repository::new();
    let words = repository.python(&answers("3 8", 1, "exit 1")).failure(&["--no-browser"]);
    assert!(words.starts_with("error: Python 3.8 is too old: JupyterLab needs Python 3.9 or later\nfix:   "), "{words}");
}

#[test]
fn a_python_without_venv_is_named() {
    let repository = Repository::new();
    let words = repository.python(&answers("3 11", 0, "exit 1")).failure(&["--no-browser"]);
    assert!(words.starts_with("error: Python 3.11 has no venv module\nfix:   "), "{words}");
}

#[test]
fn a_missing_network_is_named() {
    let repository = Repository::new();
    // `python3 -m venv --clear <folder>` makes an environment whose pip fails as pip does without a network.
    let pip = "printf '#!/bin/sh\\necho \"NewConnectionError: Failed to establish a new connection\"; exit 1\\n'";
    let venv = format!("/bin/mkdir -p \"$4/bin\"; {pip} > \"$4/bin/python\"; /bin/chmod +x \"$4/bin/python\"");
    let words = repository.python(&answers("3 11", 1, &venv)).failure(&["--no-browser"]);
    assert!(
        words.starts_with(
            "error: pip did not reach the package index; the first set-up needs the network\nfix:   connect to the network, then: cargo lab"
        ),
        "{words}"
    );
    assert!(!repository.path().join(".lab/venv.stamp").exists());
}

#[test]
fn a_taken_port_is_named_with_a_free_one() {
    let held = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = held.local_addr().unwrap().port();
    let words = Repository::new().failure(&["--port", &port.to_string()]);
    assert!(words.starts_with(&format!("error: port {port} is taken\nfix:   cargo lab --port ")), "{words}");
}

#[test]
fn a_folder_that_cannot_be_written_to_is_named() {
    let repository = Repository::new();
    // A file in the place of the folder: even the superuser cannot write there.
    std::fs::write(repository.path().join(".lab"), "").unwrap();
    let words = repository.failure(&["--no-browser"]);
    assert!(words.starts_with("error: the repository folder cannot be written to"), "{words}");
    assert!(words.contains("\nfix:   cp -r . "), "{words}");
}

#[test]
fn the_doctor_names_every_missing_thing_with_its_command() {
    let output = Repository::new().lab(&["doctor"]);
    assert_eq!(output.status.code(), Some(1));
    let lines = String::from_utf8(output.stdout).unwrap();
    assert_eq!(lines.lines().count(), 15, "{lines}");
    assert!(lines.lines().all(|line| line.starts_with("ok   ") || line.starts_with("fix: ")), "{lines}");
    assert!(lines.contains("fix: cargo lab   (environment: JupyterLab is not installed)"), "{lines}");
    for (name, file) in [("builtin:base", "base/config.json"), ("builtin:desk and builtin:guide", "desk/adapter_config.json")] {
        assert!(
            lines.contains(&format!("fix: git checkout -- notebooks/models   ({name}: notebooks/models/{file} is missing)")),
            "{lines}"
        );
    }
}

const LESSON: &str = "//! Lesson 1. A test\n\npub fn lesson() -> finetuning::Result<()> {\n    // %% [markdown]\n    // # Title\n\n    // %%\n    let x = 1;\n\n    Ok(())\n}\n";

#[test]
fn a_lesson_becomes_a_notebook_and_check_sees_each_change() {
    let repository = Repository::new();
    let lesson = repository.path().join("notebooks/lessons/01_test.rs");
    let notebook = repository.path().join("notebooks/01_test.ipynb");
    std::fs::write(&lesson, LESSON).unwrap();
    assert!(repository.failure(&["check"]).ends_with("fix:   cargo lab build 1\n"));
    assert!(repository.lab(&["build"]).status.success());
    let modules = std::fs::read_to_string(repository.path().join("notebooks/lessons/all.rs")).unwrap();
    assert!(modules.contains("#[path = \"01_test.rs\"]\nmod lesson_01_test;"), "{modules}");
    assert!(repository.failure(&["check"]).ends_with("fix:   cargo lab run 1 --write\n"));

    let text = std::fs::read_to_string(&notebook).unwrap();
    let output = "\"outputs\": [{\"output_type\": \"stream\", \"name\": \"stdout\", \"text\": \"1\"}]";
    let run = text.replace("\"execution_count\": null", "\"execution_count\": 1").replace("\"outputs\": []", output);
    std::fs::write(&notebook, run).unwrap();
    assert!(repository.lab(&["check"]).status.success());

    std::fs::write(&lesson, LESSON.replace("Title", "Other")).unwrap();
    assert!(repository.failure(&["check"]).ends_with("error: 1 of 1 notebooks are not up to date\nfix:   cargo lab build 1\n"));
    assert!(repository.lab(&["build", "test"]).status.success());
    assert!(repository.lab(&["check"]).status.success(), "the outputs of the unchanged cell stay");
    let words = repository.failure(&["build", "9"]);
    assert_eq!(words, "error: `9` names no lesson; the lessons are 01_test\n");
}

#[test]
fn a_lesson_is_reset_and_the_readers_copy_stays_beside_it() {
    let repository = Repository::new();
    std::fs::write(repository.path().join("notebooks/lessons/01_test.rs"), LESSON).unwrap();
    assert!(repository.lab(&["build"]).status.success());
    let reset = || String::from_utf8(repository.lab(&["reset", "1"]).stdout).unwrap();
    assert_eq!(reset().split_whitespace().collect::<Vec<_>>().join(" "), "01_test as it is in the repository");
    let copy = repository.path().join("work/01_test.ipynb");
    let mine = std::fs::read_to_string(&copy).unwrap().replace("let x = 1", "let x = 7");
    std::fs::write(&copy, &mine).unwrap();
    let words = reset();
    assert!(words.contains("; yours is") && words.trim_end().ends_with("work/01_test.mine-1.ipynb"), "{words}");
    assert_eq!(std::fs::read_to_string(repository.path().join("work/01_test.mine-1.ipynb")).unwrap(), mine);
    assert!(std::fs::read_to_string(&copy).unwrap().contains("let x = 1"));
    assert!(repository.failure(&["reset"]).contains("lesson"), "all lessons at once are not reset by accident");
}

#[test]
fn help_names_every_command() {
    let output = Repository::new().lab(&["--help"]);
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    for command in
        ["cargo lab ", "--port", "--no-browser", "cargo lab run", "--write", "cargo lab doctor", "cargo lab build", "cargo lab check"]
    {
        assert!(help.contains(command), "{command}");
    }
}

#[test]
fn set_up_leaves_nothing_for_a_kernel_to_write() {
    let repository = Repository::new();
    let source = repository.path().join("lib.rs");
    std::fs::write(&source, "").unwrap();
    let library = repository.path().join(format!("{}finetuning{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX));
    let install = |words: &[&str]| {
        let mut lab = Command::new(LAB);
        lab.args(["kernel"]).args(words).arg("--prefix").arg(repository.path()).env("FINETUNING_ROOT", repository.path());
        lab.env("FINETUNING_COMPANION", &library).env("FINETUNING_COMPANION_SOURCE", &source).output().unwrap()
    };
    let output = install(&["install", "--name", "other"]);
    assert!(output.status.success(), "{output:?}");
    let made: Vec<String> = std::fs::read_dir(repository.path().join(".lab"))
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    for start in ["analysis-", "std-src-", "support-"] {
        assert!(made.iter().any(|name| name.starts_with(start)), "{start} is missing: {made:?}");
    }
    let specs = repository.path().join("share/jupyter/kernels");
    assert!(specs.join("other/logo-svg.svg").exists() && !specs.join("rust").exists());
    assert!(install(&["install"]).status.success() && specs.join("rust/kernel.json").exists());
    assert!(install(&["uninstall"]).status.success() && !specs.join("rust").exists() && specs.join("other").exists());
}
