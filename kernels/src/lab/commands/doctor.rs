//! `cargo lab doctor`: what the lessons need → a line each, `ok` or the command that fixes it.

use std::path::Path;
use std::process::Command;

use crate::kernel::prepare::companion;
use crate::lab::failure::Failure;
use crate::lab::machine::{jupyter, model, python, resources};
use crate::lab::paths::Paths;
use crate::spawn;
use crate::system::machine;

/// The oldest compiler that the workspace builds with.
const RUST: &str = env!("CARGO_PKG_RUST_VERSION");
/// What ships with the repository: the model, two adapters for the one that is fetched, and rows.
const MODEL: [&str; 4] = ["base/config.json", "base/model.safetensors", "base/tokenizer.json", "base/tokenizer_config.json"];
const ADAPTERS: [&str; 4] =
    ["desk/adapter_config.json", "desk/adapter_model.safetensors", "guide/adapter_config.json", "guide/adapter_model.safetensors"];
const DATA: [&str; 3] = ["lab_docs.jsonl", "stories.jsonl", "instructions.jsonl"];

/// What one line says: what was found, or what is wrong and how to fix it.
type Finding = Result<String, Failure>;

/// Checks everything; fails when something must be fixed.
pub fn doctor(paths: &Paths, port: Option<u16>) -> Result<(), Failure> {
    let fetched = model::fetched();
    let mut findings = vec![
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
        ("builtin:base", assets(&paths.notebooks, "models", &MODEL)),
        ("builtin:desk and builtin:guide", assets(&paths.notebooks, "models", &ADAPTERS)),
        ("data", assets(&paths.notebooks, "data", &DATA)),
    ];
    findings.extend(fetched.iter().map(|model| (model.title.as_str(), model.verify())));
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
fn assets(notebooks: &Path, folder: &str, files: &[&str]) -> Finding {
    let name = format!("notebooks/{folder}");
    let restore = |what: String| Failure::new(what, format!("git checkout -- {name}"));
    let mut bytes = 0;
    for file in files {
        let path = notebooks.join(folder).join(file);
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
        let (notebooks, folder) = (home.path(), home.path().join("x"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("a"), "text").unwrap();
        std::fs::write(folder.join("b"), "").unwrap();
        assert_eq!(assets(notebooks, "x", &["a"]).unwrap(), "1 files, 0.0 MB");
        let missing = assets(notebooks, "x", &["a", "c"]).unwrap_err().to_string();
        assert_eq!(missing, "error: notebooks/x/c is missing\nfix:   git checkout -- notebooks/x");
        assert!(assets(notebooks, "x", &["b"]).is_err());
    }
}
