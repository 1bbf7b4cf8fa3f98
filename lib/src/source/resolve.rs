//! A model or data set name → local files: `builtin:`, a path, or a repository of the hub.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
#[cfg(feature = "hub")]
use std::sync::{Arc, Mutex, PoisonError};

use crate::border::{file, limits};
use crate::error::{Error, ErrorKind, Result};
use crate::hub::name::check_repository;
use crate::hub::options::HubOptions;
#[cfg(feature = "hub")]
use crate::hub::repository::{Listing, Repository};
#[cfg(feature = "hub")]
use crate::hub::trouble::RepoKind;
use crate::source::builtin;
use crate::source::configs::configs;
use crate::source::glob::{has_magic, matches};
use crate::source::layout::{Wanted, layout, left_out, missing_shard, of_one_kind};
use crate::util::notice;

/// A card of YAML alone, as `datasets` reads it.
const CARD: &str = ".huggingface.yaml";
#[cfg(feature = "hub")]
use crate::util::names::quoted;

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
    check_repository(name, "model", "a folder with config.json, `builtin:base`, `builtin:smol`, `builtin:guide`")?;
    fetched(name, options, part)
}

/// Where a name of a data set is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Place {
    /// `builtin:`, then a path, then the hub.
    #[default]
    Any,
    /// `builtin:` or a path.
    Local,
    /// The hub.
    Hub,
}

/// A file of a data set, which is fetched when it is asked for.
#[derive(Clone)]
pub(crate) enum DataFile {
    /// It is here.
    Local(PathBuf),
    #[cfg(feature = "hub")]
    /// It is on the hub.
    Remote(Arc<Mutex<Remote>>, String),
}

/// A repository with its list of files.
#[cfg(feature = "hub")]
pub(crate) struct Remote {
    repository: Repository,
    listing: Listing,
}

impl DataFile {
    /// Its path, or its name in the repository.
    pub(crate) fn name(&self) -> String {
        match self {
            DataFile::Local(path) => path.display().to_string(),
            #[cfg(feature = "hub")]
            DataFile::Remote(_, name) => name.clone(),
        }
    }

    /// The file here, fetched if need be.
    pub(crate) fn path(&self) -> Result<PathBuf> {
        match self {
            DataFile::Local(path) => Ok(path.clone()),
            #[cfg(feature = "hub")]
            DataFile::Remote(remote, name) => {
                let remote = remote.lock().unwrap_or_else(PoisonError::into_inner);
                remote.repository.get(&remote.listing, name)
            }
        }
    }
}

/// The files of each split of a data set: `builtin:` name, file, pattern, folder or hub repository. Files of the hub are
/// fetched when their turn comes.
///
/// # Errors
/// As [`model_folder`].
pub(crate) fn data_splits(name: &str, place: Place, wanted: &Wanted, options: &HubOptions) -> Result<Vec<(String, Vec<DataFile>)>> {
    let one = |path: PathBuf| vec![("train".to_string(), vec![DataFile::Local(path)])];
    if let Some(name) = name.strip_prefix(builtin::BUILTIN).filter(|_| place != Place::Hub) {
        return Ok(one(builtin::data(name)?));
    }
    let path = Path::new(name);
    if place != Place::Hub {
        let asked = wanted.config.is_some() || wanted.data_dir.is_some() || !wanted.data_files.is_empty();
        if path.is_dir() {
            if place == Place::Any && check_repository(name, "data set", "").is_ok() && name.contains('/') {
                notice::warn(format_args!("`{name}` is a folder here, and the hub is not asked; `DataOptions::hub_only` asks it"));
            }
            return folder(name, path, wanted);
        }
        if has_magic(name) && !path.exists() {
            return pattern(name);
        }
        if path.exists() || place == Place::Local || looks_like_a_path(name) {
            if asked {
                return Err(Error::new(
                    ErrorKind::Name,
                    format!("`{name}` is one file: a config, a folder or files of it cannot be chosen"),
                )
                .hint("name the folder, or leave these options out"));
            }
            return Ok(one(path.to_path_buf()));
        }
    }
    check_repository(name, "data set", "a file or a folder with rows, `builtin:lab_docs`, `builtin:instructions`, `builtin:stories`")?;
    of_hub(name, wanted, options)
}

/// Whether a name that nothing has is that of a file rather than of a repository: by its suffix or its form.
fn looks_like_a_path(name: &str) -> bool {
    let known =
        ["jsonl", "ndjson", "json", "csv", "tsv", "parquet", "txt", "md", "gz", "zst", "xlsx", "xls", "pdf", "docx", "zip", "arrow"];
    let suffix = Path::new(name).extension().map(|suffix| suffix.to_string_lossy().to_lowercase());
    suffix.is_some_and(|suffix| known.contains(&suffix.as_str())) || name.starts_with(['/', '.', '~']) || name.matches('/').count() > 1
}

/// The splits of a folder.
fn folder(name: &str, root: &Path, wanted: &Wanted) -> Result<Vec<(String, Vec<DataFile>)>> {
    let names = names_below(root)?;
    let cards = ["README.md", CARD].map(|card| text(&root.join(card)));
    let files = plan(&format!("`{name}`"), &names, cards, wanted)?;
    // Files that are named one by one are meant as they are.
    if let Some(missing) = files.iter().filter(|_| wanted.data_files.is_empty()).find_map(|(_, files)| missing_shard(files)) {
        return Err(Error::new(ErrorKind::Name, format!("`{name}` has no `{missing}`, a part of a series of which others are there"))
            .hint("copy it there, or name the files to read: `DataOptions::new().with_data_files([…])`"));
    }
    let here = |file: String| DataFile::Local(root.join(file));
    Ok(files.into_iter().map(|(split, files)| (split, files.into_iter().map(here).collect())).collect())
}

/// All files that fit a pattern of paths.
fn pattern(name: &str) -> Result<Vec<(String, Vec<DataFile>)>> {
    let plain: Vec<&str> = name.split('/').take_while(|part| !has_magic(part)).collect();
    let root = plain.join("/");
    let (root, rest) = if plain.is_empty() { (".", name) } else { (root.as_str(), &name[root.len()..]) };
    let root = if root.is_empty() { Path::new("/") } else { Path::new(root) };
    let names: Vec<String> = names_below(root)?.into_iter().filter(|file| matches(rest, file)).collect();
    let (kept, left) = of_one_kind(names);
    if !left.is_empty() {
        notice::warn(left_out(&format!("`{name}`"), &left));
    }
    let found: Vec<DataFile> = kept.iter().map(|file| DataFile::Local(root.join(file))).collect();
    if found.is_empty() {
        return Err(Error::new(ErrorKind::Name, format!("no file fits the pattern `{name}`"))
            .hint("check the folder; `*` stays inside of a name, `**` is any number of folders"));
    }
    Ok(vec![("train".to_string(), found)])
}

/// The layout of these files, with what was chosen said aloud.
fn plan(place: &str, names: &[String], cards: [Result<String>; 2], wanted: &Wanted) -> Result<Vec<(String, Vec<String>)>> {
    let [card, own] = cards;
    let mut found = Vec::new();
    if wanted.data_files.is_empty() && wanted.data_dir.is_none() {
        let bare = own?;
        if bare.len() as u64 >= limits::CARD.bytes {
            return Err(Error::new(
                ErrorKind::Data,
                format!("{place}: {CARD} is longer than {} MB, the most that is read", limits::CARD.bytes >> 20),
            )
            .hint("name the files by `DataOptions::with_data_files`"));
        }
        // The second file is YAML alone, and stronger.
        found = configs(&format!("---\n{bare}\n---\n"))
            .and_then(|own| if own.is_empty() { configs(&card?) } else { Ok(own) })
            .map_err(|error| error.at(place))?;
    }
    let layout = layout(place, names, &found, wanted)?;
    layout.notes.iter().for_each(notice::warn);
    Ok(layout.splits)
}

/// The beginning of a text file, or nothing where there is none.
fn text(path: &Path) -> Result<String> {
    if std::fs::symlink_metadata(path).is_err() || path.is_dir() {
        return Ok(String::new());
    }
    let (file, mut bytes) = (file::open(path)?, Vec::new());
    file.take(limits::CARD.bytes).read_to_end(&mut bytes).map_err(|error| Error::file(path, error))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// All files below a folder, by their names from there; hidden folders are left out, and each folder is entered once.
fn names_below(root: &Path) -> Result<Vec<String>> {
    let (mut names, mut open, mut seen) = (Vec::new(), vec![root.to_path_buf()], BTreeSet::new());
    while let Some(folder) = open.pop() {
        if !seen.insert(std::fs::canonicalize(&folder).map_err(|error| Error::file(&folder, error))?) {
            continue;
        }
        for entry in std::fs::read_dir(&folder).map_err(|error| Error::file(&folder, error))? {
            let path = entry.map_err(|error| Error::file(&folder, error))?.path();
            let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            match path.strip_prefix(root) {
                _ if path.is_dir() && hidden => {}
                _ if path.is_dir() => open.push(path),
                // A link to nothing and a pipe, too: left out, they would be missed in silence.
                Ok(name) => names.push(name.to_string_lossy().into_owned()),
                Err(_) => {}
            }
            if names.len() > limits::DATA_FILES {
                return Err(Error::new(ErrorKind::Name, format!("`{}` holds more than {} files", root.display(), limits::DATA_FILES))
                    .hint("name the folder below it that holds the rows"));
            }
        }
    }
    names.sort();
    Ok(names)
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
fn of_hub(name: &str, wanted: &Wanted, options: &HubOptions) -> Result<Vec<(String, Vec<DataFile>)>> {
    let repository = Repository::open(name, RepoKind::Dataset, options)?;
    let listing = repository.listing()?;
    let get = |card: &str| match listing.names.iter().any(|name| name == card) {
        true => text(&repository.get(&listing, card)?),
        false => Ok(String::new()),
    };
    let rule = wanted.data_files.is_empty() && wanted.data_dir.is_none();
    let cards = if rule { ["README.md", CARD].map(get) } else { [Ok(String::new()), Ok(String::new())] };
    let splits = plan(&format!("`{name}`"), &listing.names, cards, wanted)?;
    for (_, files) in &splits {
        // The error of a file that is not there.
        missing_shard(files).map_or(Ok(()), |missing| repository.get(&listing, &missing).map(drop))?;
    }
    let remote = Arc::new(Mutex::new(Remote { repository, listing }));
    let there = |file: String| DataFile::Remote(remote.clone(), file);
    Ok(splits.into_iter().map(|(split, files)| (split, files.into_iter().map(there).collect())).collect())
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
fn of_hub(name: &str, _: &Wanted, _: &HubOptions) -> Result<Vec<(String, Vec<DataFile>)>> {
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
        let rows = data_splits("owner/rows", Place::Any, &Wanted::default(), &options).map(drop);
        for error in [model_folder("owner/name", &options).map(drop).unwrap_err(), rows.unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::Name);
            assert!(error.to_string().contains("owner/") && error.to_string().contains("the feature `hub`"), "{error}");
        }
        assert!(model_folder("builtin:base", &options).is_ok());
    }
}
