//! A model or data set name → local files: `builtin:`, a path, or a repository of the hub; and files → a repository.
//!
//! The cache is shared with Python's `huggingface_hub`, and so are the environment variables (see [`options`]).

pub(crate) mod card;
mod client;
mod digest;
pub(crate) mod failure;
mod fetch;
mod meter;
pub mod options;
mod payload;
pub mod push;
mod repository;

use std::path::{Path, PathBuf};

use crate::assets;
use crate::data::dataset::Dataset;
use crate::data::stream::ExampleStream;
use crate::error::{Error, ErrorKind, Result};
use crate::hub::failure::RepoKind;
use crate::hub::options::HubOptions;
use crate::hub::repository::Repository;

/// The folder of a model or adapter: `builtin:` name, folder, or hub repository such as `EleutherAI/pythia-70m`.
///
/// # Errors
/// [`ErrorKind::Name`] when there is none by this name, or the hub cannot be asked; [`ErrorKind::File`] for the cache;
/// [`ErrorKind::Interrupted`], after which the next call goes on.
pub fn model_folder(name: &str, options: &HubOptions) -> Result<PathBuf> {
    find(name, options, &["config.json", "adapter_config.json", "tokenizer.json"], Repository::checkpoint)
}

/// The folder of a tokenizer, by the names of [`model_folder`]; from the hub come its files alone.
pub fn tokenizer_folder(name: &str, options: &HubOptions) -> Result<PathBuf> {
    find(name, options, &["tokenizer.json", "config.json", "adapter_config.json"], Repository::tokenizer)
}

/// A folder that holds one of some files, or what `get` brings of a repository.
fn find(name: &str, options: &HubOptions, files: &[&str], get: fn(&Repository) -> Result<PathBuf>) -> Result<PathBuf> {
    if let Some(name) = name.strip_prefix(assets::BUILTIN) {
        return assets::model(name);
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
    // What an earlier run fetched as a whole is used without asking the network.
    if !options.force_download {
        let cached = get(&Repository::in_cache(name, RepoKind::Model, options)?);
        if cached.is_ok() || options.offline() {
            return cached;
        }
    }
    get(&Repository::open(name, RepoKind::Model, options)?)
}

/// The files of a data set: `builtin:` name, path, or the training part of a hub repository.
pub fn data_files(name: &str, options: &HubOptions) -> Result<Vec<PathBuf>> {
    if let Some(name) = name.strip_prefix(assets::BUILTIN) {
        return Ok(vec![assets::data(name)?]);
    }
    let path = Path::new(name);
    if path.is_file() || path.extension().is_some() {
        return Ok(vec![path.to_path_buf()]);
    }
    check_repository(name, "data set", "a .jsonl or .parquet file, `builtin:lab_docs`, `builtin:instructions`, `builtin:pretraining`")?;
    Repository::open(name, RepoKind::Dataset, options)?.training_files()
}

/// Reads a whole data set by its name (see [`data_files`]).
pub fn load_dataset(name: &str) -> Result<Dataset> {
    load_dataset_with(name, &HubOptions::default())
}

/// [`load_dataset`] with a revision, a token, or another cache.
pub fn load_dataset_with(name: &str, options: &HubOptions) -> Result<Dataset> {
    Dataset::from_stream(stream_dataset_with(name, options)?, name)
}

/// Reads a data set row by row, so that a large file need not fit into memory.
pub fn stream_dataset(name: &str) -> Result<ExampleStream> {
    stream_dataset_with(name, &HubOptions::default())
}

/// [`stream_dataset`] with a revision, a token, or another cache.
pub fn stream_dataset_with(name: &str, options: &HubOptions) -> Result<ExampleStream> {
    ExampleStream::open_all(data_files(name, options)?)
}

fn check_repository(name: &str, what: &str, others: &str) -> Result<()> {
    let parts: Vec<&str> = name.split('/').collect();
    let plain =
        |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) && !part.starts_with('.');
    if parts.len() <= 2 && parts.iter().all(plain) && (parts.len() == 2 || what == "data set") {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Name, format!("`{name}` is no known {what}"))
        .hint(format!("use {others}, or a hub name such as `owner/name`")))
}
