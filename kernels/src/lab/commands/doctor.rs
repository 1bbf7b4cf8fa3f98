//! `cargo lab doctor`: what the lessons need → a line each, `ok` or the command that fixes it.

use std::path::Path;
use std::process::Command;

use crate::kernel::prepare::companion;
use crate::lab::failure::Failure;
use crate::lab::machine::model::SMOL;
use crate::lab::machine::{jupyter, python, resources};
use crate::lab::paths::Paths;
use crate::spawn;
use crate::system::machine;

/// The oldest compiler that the workspace builds with.
const RUST: &str = env!("CARGO_PKG_RUST_VERSION");
/// The models that ship with the repository, and the files of each.
const MODELS: [&str; 3] = ["base", "tuned", "large"];
const MODEL_FILES: [&str; 3] = ["config.json", "model.safetensors", "tokenizer.json"];
const DATA: [&str; 3] = ["lab_docs.jsonl", "pretraining.jsonl", "instructions.jsonl"];

/// What one line says: what was found, or what is wrong and how to fix it.
type Finding = Result<String, Failure>;

/// Checks everything; fails when something must be fixed.
pub fn doctor(paths: &Paths, port: Option<u16>) -> Result<(), Failure> {
    let findings = [
        ("Rust", rust()),
        ("linker", linker()),
        ("repository", resources::check_writable(paths).map(|()| "can be written to".into())),
        ("disk", disk(paths)),
        ("Python", python::find().map(|python| format!("{}.{}", python.version.0, python.version.1))),
        ("environment", ready(python::is_fresh(paths), "JupyterLab is installed", "JupyterLab is not installed")),
        ("kernel", ready(jupyter::is_installed(paths), "Jupyter knows it", "Jupyter does not know it")),
        ("companion", companion(paths)),
        ("GPU", Ok(gpu())),
        ("port", resources::choose_port(port).map(|port| format!("{port} is free"))),
        (
            "models",
            assets(
                &paths.notebooks.join("models"),
                &MODELS.map(|model| MODEL_FILES.map(|file| format!("{model}/{file}"))).concat(),
                "notebooks/models",
            ),
        ),
        ("real model", SMOL.verify()),
        ("data", assets(&paths.notebooks.join("data"), &DATA.map(str::to_string), "notebooks/data")),
    ];
    let mut wrong = Vec::new();
    for (name, finding) in findings {
        match finding {
            Ok(found) => println!("ok   {name}: {found}"),
            Err(failure) => {
                println!("fix: {}   ({name}: {})", failure.fix.as_deref().unwrap_or("cargo lab"), failure.what);
                wrong.push(name);
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(Failure::from(format!("to fix: {}", wrong.join(", ")))) }
}

fn ready(is: bool, yes: &str, no: &str) -> Finding {
    if is { Ok(yes.into()) } else { Err(Failure::new(no, "cargo lab")) }
}

/// The version of the compiler that cells are built with.
fn rust() -> Finding {
    let update = "rustup update stable";
    let text = spawn::output(Command::new("rustc").arg("--version"), "rustc does not run");
    let text = text.map_err(|_| Failure::new("there is no rustc on PATH", "rustup default stable"))?;
    let version = text.split_whitespace().nth(1).unwrap_or_default().to_string();
    let number = |version: &str| version.split('.').take(2).map(|part| part.parse().unwrap_or(0)).collect::<Vec<u32>>();
    if number(&version) >= number(RUST) { Ok(version) } else { Err(Failure::new(format!("{version} is older than {RUST}"), update)) }
}

/// Whether models can compute on a GPU; the lessons need none.
fn gpu() -> String {
    match std::fs::read_to_string("/proc/driver/nvidia/version") {
        Err(_) => "no NVIDIA driver, the CPU computes".into(),
        Ok(_) if companion::wants_cuda() => "an NVIDIA driver runs, the companion is built for CUDA".into(),
        Ok(_) => "an NVIDIA driver runs; `cargo lab kernel install --cuda` adds a kernel that computes on it".into(),
    }
}

fn linker() -> Finding {
    let install = if cfg!(target_os = "macos") { "xcode-select --install" } else { "sudo apt install build-essential" };
    match spawn::succeeds(Command::new("cc").arg("--version")) {
        true => Ok("cc".into()),
        false => Err(Failure::new("there is no C compiler on PATH, and Rust links with it", install)),
    }
}

fn disk(paths: &Paths) -> Finding {
    let free = machine::free_disk(&paths.root);
    let ready = python::is_fresh(paths) && companion(paths).is_ok();
    resources::check_disk(free.filter(|_| !ready))?;
    Ok(free.map_or("unknown".to_string(), |free| format!("{:.0} GB free", free as f64 / 1e9)))
}

fn companion(paths: &Paths) -> Finding {
    let found = companion::find(&paths.root, companion::wants_cuda())?;
    ready(found.library.exists(), "built", "not built yet")
}

/// Files that ship with the repository must be there, with their content and not a pointer to it.
fn assets(folder: &Path, files: &[String], name: &str) -> Finding {
    let restore = |what: String| Failure::new(what, format!("git checkout -- {name}"));
    let mut bytes = 0;
    for file in files {
        let path = folder.join(file);
        let length = std::fs::metadata(&path).map_err(|_| restore(format!("{name}/{file} is missing")))?.len();
        let head = std::fs::read(&path).map(|bytes| bytes.starts_with(b"version https://git-lfs")).unwrap_or(true);
        if length == 0 || head {
            return Err(restore(format!("{name}/{file} is empty or a pointer")));
        }
        bytes += length;
    }
    Ok(format!("{} files, {:.1} MB", files.len(), bytes as f64 / 1e6))
}

#[cfg(test)]
mod tests {
    use super::assets;

    #[test]
    fn a_missing_or_empty_file_is_named() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path();
        std::fs::write(folder.join("a"), "text").unwrap();
        std::fs::write(folder.join("b"), "").unwrap();
        let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        assert_eq!(assets(folder, &names(&["a"]), "x").unwrap(), "1 files, 0.0 MB");
        assert_eq!(assets(folder, &names(&["a", "c"]), "x").unwrap_err().to_string(), "error: x/c is missing\nfix:   git checkout -- x");
        assert!(assets(folder, &names(&["b"]), "x").is_err());
    }
}
