//! A model or data set name → local files: `builtin:`, a path, or a hub repository fetched through hf-hub.
//!
//! `HF_HOME`, `HF_TOKEN`, `HF_ENDPOINT` and `HF_HUB_OFFLINE` mean what users of the hub expect.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hf_hub::api::sync::{ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};

use crate::assets;
use crate::data::dataset::Dataset;
use crate::data::stream::ExampleStream;
use crate::download;
use crate::error::{Error, ErrorKind, Result, quoted};

const WEIGHTS: &str = "model.safetensors";
const SHARDS: &str = "model.safetensors.index.json";

/// The folder of a model: `builtin:` name, folder, or hub repository such as `EleutherAI/pythia-70m`.
pub fn model_folder(name: &str) -> Result<PathBuf> {
    if let Some(name) = name.strip_prefix(assets::BUILTIN) {
        return assets::model(name);
    }
    let path = Path::new(name);
    if ["config.json", "adapter_config.json", "tokenizer.json"].iter().any(|file| path.join(file).is_file()) {
        return Ok(path.to_path_buf());
    }
    let gguf = |path: &Path| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
    if path.is_file() && gguf(path) {
        return Ok(path.parent().unwrap_or(Path::new("")).to_path_buf());
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
    Repository::in_cache(name, RepoType::Model).checkpoint().or_else(|_| Repository::open(name, RepoType::Model)?.checkpoint())
}

/// The weight files that the index of a checkpoint names.
fn shards(index: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(index).map_err(|error| Error::file(index, error))?;
    let value: serde_json::Value = serde_json::from_str(&text)
        .map_err(|error| Error::new(ErrorKind::Model, format!("`{}`: {error}", index.display())).hint("remove the file and fetch again"))?;
    let mut names: Vec<String> = value["weight_map"]
        .as_object()
        .into_iter()
        .flat_map(|map| map.values())
        .filter_map(|shard| shard.as_str().map(String::from))
        .collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// The files of a data set: `builtin:` name, path, or the training part of a hub repository.
pub fn data_files(name: &str) -> Result<Vec<PathBuf>> {
    if let Some(name) = name.strip_prefix(assets::BUILTIN) {
        return Ok(vec![assets::data(name)?]);
    }
    let path = Path::new(name);
    if path.is_file() || path.extension().is_some() {
        return Ok(vec![path.to_path_buf()]);
    }
    check_repository(name, "data set", "a .jsonl or .parquet file, `builtin:lab_docs`, `builtin:instructions`, `builtin:pretraining`")?;
    Repository::open(name, RepoType::Dataset)?.training_files()
}

/// Reads a whole data set by its name (see [`data_files`]).
pub fn load_dataset(name: &str) -> Result<Dataset> {
    Dataset::from_stream(stream_dataset(name)?, name)
}

/// Reads a data set row by row, so that a large file need not fit into memory.
pub fn stream_dataset(name: &str) -> Result<ExampleStream> {
    ExampleStream::open_all(data_files(name)?)
}

/// The files of the training part among all files of a repository: .jsonl before .parquet; where no name says `train`,
/// those that do not name another part.
fn training_part(names: &[String]) -> Vec<&str> {
    for ending in [".jsonl", ".parquet"] {
        let ours: Vec<&str> = names.iter().map(String::as_str).filter(|name| name.ends_with(ending)).collect();
        let train: Vec<&str> = ours.iter().copied().filter(|name| name.contains("train")).collect();
        let rest = || ours.iter().copied().filter(|name| !["test", "valid", "dev"].iter().any(|part| name.contains(part))).collect();
        let mut found: Vec<&str> = if train.is_empty() { rest() } else { train };
        if !found.is_empty() {
            found.sort_unstable();
            return found;
        }
    }
    Vec::new()
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

/// One hub repository, through the network or from the local cache only.
struct Repository {
    name: String,
    kind: RepoType,
    online: Option<Arc<ApiRepo>>,
}

impl Repository {
    /// What earlier runs fetched, and no network.
    fn in_cache(name: &str, kind: RepoType) -> Self {
        Self { name: name.to_string(), kind, online: None }
    }

    fn open(name: &str, kind: RepoType) -> Result<Self> {
        let repository = Repo::new(name.to_string(), kind);
        let offline = std::env::var("HF_HUB_OFFLINE").is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"));
        let online = if offline { None } else { Some(Arc::new(api()?.repo(repository))) };
        Ok(Self { online, ..Self::in_cache(name, kind) })
    }

    /// A file that an earlier run fetched.
    fn cached(&self, file: &str) -> Option<PathBuf> {
        Cache::from_env().repo(Repo::new(self.name.clone(), self.kind)).get(file)
    }

    /// The folder of a whole checkpoint.
    fn checkpoint(&self) -> Result<PathBuf> {
        let config = self.get("config.json")?;
        self.get("tokenizer.json")?;
        self.get_optional("tokenizer_config.json")?;
        match self.get_optional(SHARDS)? {
            Some(index) => shards(&index)?.iter().try_for_each(|shard| self.get(shard).map(drop))?,
            None => drop(self.get(WEIGHTS)?),
        }
        Ok(config.parent().unwrap_or(Path::new(".")).to_path_buf())
    }

    fn get(&self, file: &str) -> Result<PathBuf> {
        self.get_optional(file)?.ok_or_else(|| match self.online {
            None => self.absent(format!("`{}`: {file} is not in the local cache and HF_HUB_OFFLINE is set", self.name)),
            Some(_) => self.absent(format!("`{}` does not exist on the hub, or has no {file}", self.name)),
        })
    }

    /// What the cache or the hub does not have.
    fn absent(&self, message: String) -> Error {
        Error::new(ErrorKind::Name, message).hint(match self.online {
            None => "unset HF_HUB_OFFLINE once to fetch it, or use a `builtin:` name",
            Some(_) => "check the name, and set HF_TOKEN if the repository is private; `builtin:` names need no network",
        })
    }

    fn get_optional(&self, file: &str) -> Result<Option<PathBuf>> {
        let Some(online) = &self.online else {
            return Ok(self.cached(file));
        };
        // The hub names a file by its commit, so what is in the cache under that name is the file.
        if let Some(path) = self.cached(file) {
            return Ok(Some(path));
        }
        match download::fetch(online, file)? {
            Ok(path) => Ok(Some(path)),
            Err(error) if not_found(&error) => Ok(None),
            Err(error) => Err(self.unreachable(file, &error)),
        }
    }

    fn training_files(&self) -> Result<Vec<PathBuf>> {
        let names = match &self.online {
            Some(online) => match online.info() {
                Ok(info) => info.siblings.into_iter().map(|file| file.rfilename).collect(),
                Err(error) if not_found(&error) => {
                    return Err(self.absent(format!("`{}` does not exist on the hub", self.name)));
                }
                Err(error) => return Err(self.unreachable("its list of files", &error)),
            },
            None => self.cached_names(),
        };
        let found = training_part(&names);
        match (found.is_empty(), &self.online) {
            (false, _) => found.into_iter().map(|name| self.get(name)).collect(),
            (true, None) => Err(self.absent(format!("`{}` is not in the local cache and HF_HUB_OFFLINE is set", self.name))),
            (true, Some(_)) => {
                Err(Error::new(ErrorKind::Name, format!("`{}` has no .jsonl or .parquet file; it has {}", self.name, quoted(&names)))
                    .hint("convert it to JSON lines and name the local file"))
            }
        }
    }

    /// The files of the repository that an earlier run fetched.
    fn cached_names(&self) -> Vec<String> {
        let repository = Repo::new(self.name.clone(), self.kind);
        let folder = Cache::from_env().path().join(repository.folder_name());
        let commit = std::fs::read_to_string(folder.join("refs").join(repository.revision())).unwrap_or_default();
        let root = folder.join("snapshots").join(commit.trim());
        let (mut names, mut folders) = (Vec::new(), if commit.is_empty() { Vec::new() } else { vec![root.clone()] });
        while let Some(folder) = folders.pop() {
            for path in std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
                match path.strip_prefix(&root) {
                    _ if path.is_dir() => folders.push(path),
                    Ok(name) => names.push(name.display().to_string()),
                    Err(_) => {}
                }
            }
        }
        names
    }

    fn unreachable(&self, file: &str, error: &ApiError) -> Error {
        Error::new(ErrorKind::Name, format!("`{}`: {file} could not be fetched: {error}", self.name))
            .hint("check the network, HF_ENDPOINT and HF_TOKEN; `builtin:` names need no network")
    }
}

fn api() -> Result<hf_hub::api::sync::Api> {
    let token = std::env::var("HF_TOKEN").ok().filter(|token| !token.is_empty());
    let mut builder = ApiBuilder::from_env().with_progress(false);
    if token.is_some() {
        builder = builder.with_token(token);
    }
    builder.build().map_err(|error| Error::new(ErrorKind::Name, format!("hub client: {error}")).hint("check HF_HOME and HF_ENDPOINT"))
}

fn not_found(error: &ApiError) -> bool {
    let text = format!("{error:?}");
    text.contains("404") || text.contains("401")
}
