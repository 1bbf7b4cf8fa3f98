//! `builtin:` names → the files that ship with the repository.

use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::util::names::unknown;

/// The prefix of names that need no network.
pub const BUILTIN: &str = "builtin:";

/// The folder with `models`, `data` and `pictures`: `FINETUNING_ASSETS`, else `notebooks` of the repository that this
/// crate was compiled in.
pub fn root() -> PathBuf {
    match std::env::var_os("FINETUNING_ASSETS") {
        Some(path) => PathBuf::from(path),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../notebooks"),
    }
}

/// The folder of a builtin model.
///
/// # Errors
/// [`ErrorKind::Name`] when there is none by this name; the message lists those there are.
pub fn model(name: &str) -> Result<PathBuf> {
    let [smol, file, title] = SMOL;
    if name != smol {
        return find(name, "models", "model", "");
    }
    let folder = cache().join("models").join(smol);
    match folder.join(file).is_file() {
        true => Ok(folder),
        false => Err(Error::new(
            ErrorKind::Name,
            format!("`{BUILTIN}{smol}` ({title}) is not on this machine yet: `{}` is missing", folder.join(file).display()),
        )
        .hint("run `cargo lab setup` once with a network (93 MB), or use `builtin:tuned`")),
    }
}

/// The file of a builtin data set.
///
/// # Errors
/// [`ErrorKind::Name`] when there is none by this name; the message lists those there are.
pub fn data(name: &str) -> Result<PathBuf> {
    find(name, "data", "data set", ".jsonl")
}

/// The folder of what set-up fetches once for all copies of the repository: `FINETUNING_CACHE`, else
/// `$XDG_CACHE_HOME/finetuning`, else `~/.cache/finetuning`.
fn cache() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || std::env::home_dir().unwrap_or_else(|| PathBuf::from("."));
    variable("FINETUNING_CACHE").unwrap_or_else(|| variable("XDG_CACHE_HOME").unwrap_or_else(|| home().join(".cache")).join("finetuning"))
}

/// The real model of the lessons, which does not ship but is fetched: its name, its file, and what it is.
const SMOL: [&str; 3] = ["smol", "SmolLM2-135M-Instruct.Q4_1.gguf", "SmolLM2-135M-Instruct"];

fn find(name: &str, folder: &str, what: &str, suffix: &str) -> Result<PathBuf> {
    let folder = root().join(folder);
    let path = folder.join(format!("{name}{suffix}"));
    let plain = !name.is_empty() && !name.contains(['/', '\\']) && !name.starts_with('.');
    // A model is a folder; a description beside the models is none.
    let fits = |path: &Path| if suffix.is_empty() { path.is_dir() } else { path.is_file() };
    if plain && fits(&path) {
        return Ok(path);
    }
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| fits(&entry.path()))
        .filter_map(|entry| entry.file_name().to_str().and_then(|name| name.strip_suffix(suffix)).map(|name| format!("{BUILTIN}{name}")))
        .collect();
    if folder.ends_with("models") {
        names.push(format!("{BUILTIN}{}", SMOL[0]));
    }
    names.sort();
    Err(unknown(ErrorKind::Name, &format!("builtin {what}"), &format!("{BUILTIN}{name}"), &names)
        .hint("use one of these names; `cargo lab doctor` checks that the files are there"))
}
