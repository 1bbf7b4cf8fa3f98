//! A model or data set name → local files: `builtin:`, a path, or a repository of the hub.

use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::hub::name::check_repository;
use crate::hub::options::HubOptions;
#[cfg(feature = "hub")]
use crate::hub::repository::Repository;
#[cfg(feature = "hub")]
use crate::hub::trouble::RepoKind;
use crate::source::builtin;
#[cfg(feature = "hub")]
use crate::util::{names::quoted, notice};

/// What Python keeps beside `tokenizer.json`; one of them is in the cache wherever a tokenizer was loaded from the hub.
#[cfg(feature = "hub")]
const TOKENIZER_SETTINGS: [&str; 2] = ["tokenizer_config.json", "special_tokens_map.json"];

/// Which files of a repository are meant.
#[derive(Clone, Copy)]
enum Part {
    Checkpoint,
    Tokenizer,
}

/// The folder of a model or adapter: `builtin:` name, folder, or hub repository such as `EleutherAI/pythia-70m`.
///
/// # Errors
/// [`ErrorKind::Name`] when there is none by this name, or the hub cannot be asked; [`ErrorKind::File`] for the cache;
/// [`ErrorKind::Interrupted`], after which the next call goes on.
pub fn model_folder(name: &str, options: &HubOptions) -> Result<PathBuf> {
    find(name, options, &["config.json", "adapter_config.json", "tokenizer.json"], Part::Checkpoint)
}

/// The folder of a tokenizer, by the names of [`model_folder`]; from the hub come its files alone.
///
/// # Errors
/// As [`model_folder`].
pub fn tokenizer_folder(name: &str, options: &HubOptions) -> Result<PathBuf> {
    find(name, options, &["tokenizer.json", "config.json", "adapter_config.json"], Part::Tokenizer)
}

/// A folder that holds one of some files, or what the hub has of a repository.
fn find(name: &str, options: &HubOptions, files: &[&str], part: Part) -> Result<PathBuf> {
    if let Some(name) = name.strip_prefix(builtin::BUILTIN) {
        return builtin::model(name);
    }
    let path = Path::new(name);
    if files.iter().any(|file| path.join(file).is_file()) {
        return Ok(path.to_path_buf());
    }
    let gguf = |path: &Path| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
    if path.is_file() && gguf(path) {
        return Ok(path.parent().unwrap_or(Path::new("")).to_path_buf());
    }
    if options.gguf_file.as_ref().is_some_and(|file| path.join(file).is_file()) {
        return Ok(path.to_path_buf());
    }
    if std::fs::read_dir(path).into_iter().flatten().flatten().any(|entry| gguf(&entry.path())) {
        return Ok(path.to_path_buf());
    }
    if path.exists() {
        return Err(Error::new(ErrorKind::Name, format!("`{name}` holds no checkpoint: config.json is missing"))
            .hint("name the folder that `save_model` wrote, such as `<output_dir>/final`"));
    }
    check_repository(name, "model", "a folder with config.json, `builtin:base`, `builtin:tuned`, `builtin:large`")?;
    fetched(name, options, part)
}

/// The files of a data set: `builtin:` name, path, or the training part of a hub repository.
///
/// # Errors
/// As [`model_folder`].
pub fn data_files(name: &str, options: &HubOptions) -> Result<Vec<PathBuf>> {
    if let Some(name) = name.strip_prefix(builtin::BUILTIN) {
        return Ok(vec![builtin::data(name)?]);
    }
    let path = Path::new(name);
    if path.is_file() || path.extension().is_some() {
        return Ok(vec![path.to_path_buf()]);
    }
    check_repository(name, "data set", "a .jsonl or .parquet file, `builtin:lab_docs`, `builtin:instructions`, `builtin:pretraining`")?;
    training_files(name, options)
}

/// What an earlier run fetched as a whole, without asking the network; else what the hub has.
#[cfg(feature = "hub")]
fn fetched(name: &str, options: &HubOptions, part: Part) -> Result<PathBuf> {
    let get = |repository: Repository| match part {
        Part::Checkpoint => repository.checkpoint(),
        Part::Tokenizer => repository.tokenizer(),
    };
    if !options.force_download {
        let cached = get(Repository::in_cache(name, RepoKind::Model, options)?);
        // A lone tokenizer.json says neither the end token nor the chat template: the hub may have them.
        let whole = |folder: &PathBuf| {
            !folder.join("tokenizer.json").is_file() || TOKENIZER_SETTINGS.iter().any(|file| folder.join(file).is_file())
        };
        match cached {
            Ok(folder) if whole(&folder) || options.offline() => return Ok(folder),
            Ok(folder) => {
                let asked = Repository::open(name, RepoKind::Model, options).and_then(get);
                return asked.or_else(|error| match error.kind() {
                    ErrorKind::Interrupted => Err(error),
                    _ => {
                        let lacks = quoted(&TOKENIZER_SETTINGS.map(String::from));
                        notice::warn(format_args!(
                            "{name}: the cache has none of {lacks}, and the hub cannot be asked: {}",
                            error.message()
                        ));
                        Ok(folder)
                    }
                });
            }
            Err(_) if !options.offline() => {}
            refused => return refused,
        }
    }
    get(Repository::open(name, RepoKind::Model, options)?)
}

#[cfg(feature = "hub")]
fn training_files(name: &str, options: &HubOptions) -> Result<Vec<PathBuf>> {
    Repository::open(name, RepoKind::Dataset, options)?.training_files()
}

#[cfg(not(feature = "hub"))]
fn fetched(name: &str, _: &HubOptions, part: Part) -> Result<PathBuf> {
    Err(no_hub(
        name,
        match part {
            Part::Checkpoint => "model",
            Part::Tokenizer => "tokenizer",
        },
    ))
}

#[cfg(not(feature = "hub"))]
fn training_files(name: &str, _: &HubOptions) -> Result<Vec<PathBuf>> {
    Err(no_hub(name, "data set"))
}

#[cfg(not(feature = "hub"))]
fn no_hub(name: &str, what: &str) -> Error {
    Error::new(ErrorKind::Name, format!("the {what} `{name}` is no file or folder here, and this program was built without the hub"))
        .hint("check the path, or build `finetuning` with the feature `hub`")
}

#[cfg(all(test, not(feature = "hub")))]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_the_hub_is_refused_by_the_name_of_the_feature() {
        let options = HubOptions::default();
        for error in [model_folder("owner/name", &options).unwrap_err(), data_files("owner/rows", &options).unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::Name);
            assert!(error.to_string().contains("owner/") && error.to_string().contains("the feature `hub`"), "{error}");
        }
        assert!(model_folder("builtin:base", &options).is_ok());
    }
}
