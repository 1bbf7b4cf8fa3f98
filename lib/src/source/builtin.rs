//! `builtin:` names → the files that ship with the repository.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;

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

/// A model of the lessons that does not ship but is fetched by `cargo lab setup`, which reads the same list.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Fetched {
    /// What cells call it, after `builtin:`.
    pub name: String,
    /// What it is called where it comes from.
    pub title: String,
    /// What is fetched for it.
    pub megabytes: u32,
    /// What to do without it.
    without: String,
    files: Vec<Value>,
}

static FETCHED: LazyLock<Vec<Fetched>> = LazyLock::new(|| serde_json::from_str(include_str!("fetched.json")).unwrap_or_default());

/// The fetched model of this name, if it is one.
pub(crate) fn fetched(name: &str) -> Option<&'static Fetched> {
    FETCHED.iter().find(|model| model.name == name)
}

impl Fetched {
    fn folder(&self) -> PathBuf {
        cache().join("models").join(&self.name)
    }

    /// What is wrong with the first of its files in a folder that is not there whole.
    fn fault(&self, folder: &Path) -> Option<String> {
        self.files.iter().find_map(|file| {
            let path = folder.join(file["member"].as_str()?.rsplit('/').next()?);
            match (std::fs::metadata(&path), file["size"].as_u64()?) {
                (Ok(found), size) if found.len() == size => None,
                (Ok(found), size) => Some(format!("`{}` has {} of {size} bytes", path.display(), found.len())),
                (Err(_), _) => Some(format!("`{}` is missing", path.display())),
            }
        })
    }
}

/// The folder of a builtin model.
///
/// # Errors
/// [`ErrorKind::Name`] when there is none by this name, with those there are, or when it is not fetched whole.
pub fn model(name: &str) -> Result<PathBuf> {
    let Some(model) = fetched(name) else { return find(name, "models", "model", "") };
    let Some(fault) = model.fault(&model.folder()) else { return Ok(model.folder()) };
    let Fetched { title, megabytes, without, .. } = model;
    Err(Error::new(ErrorKind::Name, format!("`{BUILTIN}{name}` ({title}) is not on this machine yet: {fault}"))
        .hint(format!("run `cargo lab setup` once with a network ({megabytes} MB), or {without}")))
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
        names.extend(FETCHED.iter().map(|model| format!("{BUILTIN}{}", model.name)));
    }
    names.sort();
    Err(unknown(ErrorKind::Name, &format!("builtin {what}"), &format!("{BUILTIN}{name}"), &names)
        .hint("use one of these names; `cargo lab doctor` checks that the files are there"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_missing_or_cut_is_named() {
        let (folder, smol) = (tempfile::tempdir().unwrap(), fetched("smol").unwrap());
        assert!(smol.fault(folder.path()).unwrap().ends_with(".gguf` is missing"));
        let path = folder.path().join(smol.files[0]["member"].as_str().unwrap().rsplit('/').next().unwrap());
        std::fs::write(&path, "GGUF").unwrap();
        assert_eq!(smol.fault(folder.path()).unwrap(), format!("`{}` has 4 of {} bytes", path.display(), smol.files[0]["size"]));
        std::fs::File::create(&path).unwrap().set_len(smol.files[0]["size"].as_u64().unwrap()).unwrap();
        assert_eq!(smol.fault(folder.path()), None);
    }

    #[test]
    fn what_is_fetched_is_named_and_lies_where_set_up_puts_it() {
        let smol = fetched("smol").unwrap();
        assert!(smol.folder().ends_with("models/smol") && smol.files.len() == 1);
        assert_eq!(fetched("encoder").unwrap().files.len(), 5);
        assert!(fetched("base").is_none());
        let here = |name: &str| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name);
        let [ours, theirs] = ["src/source/builtin.rs", "../kernels/src/lab/machine/model.rs"].map(|name| {
            let text = std::fs::read_to_string(here(name)).unwrap();
            let from = text.find("fn cache() -> PathBuf {").unwrap();
            text[from..][..text[from..].find("\n}").unwrap()].to_string()
        });
        assert_eq!(ours, theirs, "set-up and the companion look in one folder");
    }
}
