//! `install.py` of a bundle: what it refuses before it writes, and what it unpacks. The bundles here are small ones of our own.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::install;

const INSTALL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/package/install.py");

fn text(program: &str, words: &[&str]) -> String {
    String::from_utf8(Command::new(program).args(words).output().unwrap().stdout).unwrap()
}

/// What a bundle for this machine says of itself.
fn note() -> Value {
    let rustc = text("rustc", &["-vV"]);
    let field = |name: &str| rustc.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim_start_matches(": ").to_string();
    let python = text("python3", &["-c", "import sys; print(*sys.version_info[:2], sep='.', end='')"]);
    let parts = [("tree/target/debug/lab", LAB), ("tree/README.md", "words"), ("models/tiny/m.gguf", "the model")];
    let parts: Vec<Value> = parts
        .iter()
        .map(|(name, text)| {
            let digits: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
            json!({ "name": name, "size": text.len(), "sha256": digits })
        })
        .collect();
    json!({ "compiler": { "commit": field("commit-hash"), "version": field("release"), "host": field("host") }, "python": python, "parts": parts })
}

/// Stands for the program of the bundle.
const LAB: &str = "#!/bin/sh\necho \"lab $1 in $PWD\"\n";

/// A bundle with three parts, and a home of its own.
struct Bundle(TempDir);

impl Bundle {
    fn new(note: &Value) -> Bundle {
        let folder = tempfile::tempdir().unwrap();
        let script = "import sys, zipfile\nz = zipfile.ZipFile(sys.argv[1], 'w')\nz.write(sys.argv[2], '__main__.py')\n\
            i = zipfile.ZipInfo('tree/target/debug/lab'); i.external_attr = 0o755 << 16\nz.writestr(i, sys.argv[4])\n\
            z.writestr('tree/README.md', 'words')\nz.writestr('models/tiny/m.gguf', 'the model')\nz.writestr('bundle.json', sys.argv[3])\nz.close()";
        let mut python = Command::new("python3");
        python.args(["-c", script]).arg(folder.path().join("b.pyz")).args([INSTALL, &note.to_string(), LAB]);
        assert!(python.status().unwrap().success());
        Bundle(folder)
    }

    fn install(&self, to: &Path) -> Output {
        let path = format!("{}:{}", self.0.path().join("bin").display(), std::env::var("PATH").unwrap());
        let mut python = Command::new("python3");
        python.arg(self.0.path().join("b.pyz")).arg(to).env("PATH", path).env("FINETUNING_CACHE", self.0.path().join("cache"));
        python.output().unwrap()
    }

    /// What it says when it refuses; nothing is written then.
    fn refusal(&self) -> String {
        let to = self.0.path().join("new/course");
        let output = self.install(&to);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(!to.exists() && !self.0.path().join("cache").exists(), "something was written");
        let left = std::fs::read_dir(self.0.path().join("new")).into_iter().flatten().count();
        assert_eq!(left, 0, "something half written is left");
        String::from_utf8(output.stderr).unwrap()
    }
}

#[test]
fn a_bundle_is_unpacked_compared_and_set_up() {
    let bundle = Bundle::new(&note());
    let to = bundle.0.path().join("new/course");
    let output = bundle.install(&to);
    assert!(output.status.success(), "{output:?}");
    let words = String::from_utf8(output.stdout).unwrap();
    assert!(words.contains(&format!("lab setup in {}", to.display())) && words.contains("./lab"), "{words}");
    assert_eq!(std::fs::read_to_string(to.join("README.md")).unwrap(), "words");
    assert_eq!(std::fs::read_to_string(bundle.0.path().join("cache/models/tiny/m.gguf")).unwrap(), "the model");
    let again = bundle.install(&to);
    assert!(String::from_utf8_lossy(&again.stderr).contains("stays as it is"), "{again:?}");
}

#[test]
fn another_compiler_python_or_machine_is_refused_with_what_to_do() {
    let change = |path: &str, value: Value| {
        let mut note = note();
        *note.pointer_mut(path).unwrap() = value;
        Bundle::new(&note).refusal()
    };
    let version = note()["compiler"]["version"].as_str().unwrap().to_string();
    let words = change("/compiler/commit", json!("0123456789abcdef"));
    assert!(words.contains("(012345678)") && words.contains(&format!("fix:   rustup toolchain install {version}")), "{words}");
    let words = change("/compiler/host", json!("sparc64-unknown-netbsd"));
    assert!(words.contains("the bundle is for sparc64-unknown-netbsd") && words.contains("fix:   "), "{words}");
    let words = change("/python", json!("3.2"));
    assert!(words.contains("JupyterLab for Python 3.2") && words.contains("fix:   python3.2"), "{words}");
    let words = change("/parts/0/size", json!(1_u64 << 60));
    assert!(words.contains("GB free, and the course needs") && words.contains("fix:   df -h"), "{words}");
    let bundle = Bundle::new(&note());
    install(&bundle.0.path().join("bin/rustc"), b"#!/bin/sh\nexit 1\n");
    let words = bundle.refusal();
    assert!(words.contains("there is no rustc on PATH\nfix:   rustup toolchain install"), "{words}");
}

#[test]
fn a_damaged_part_leaves_nothing_behind() {
    let mut changed = note();
    changed["parts"][2]["sha256"] = json!("0".repeat(64));
    let words = Bundle::new(&changed).refusal();
    assert!(words.contains("models/tiny/m.gguf is damaged") && words.contains("fix:   copy the bundle again"), "{words}");
    let mut changed = note();
    changed["parts"][1]["name"] = json!("../outside");
    assert!(Bundle::new(&changed).refusal().contains("the bundle holds the path ../outside"));
}
