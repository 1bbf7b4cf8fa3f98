//! A repository's name → the files of it that a model needs, or any one, from the cache or the network.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::border::{json, limits};
use crate::error::{Error, ErrorKind, Result};
use crate::hub::client::{Call, Client};
use crate::hub::failure;
use crate::hub::fetch::{Store, fetch};
use crate::hub::options::HubOptions;
use crate::hub::trouble::{RepoKind, RepoRef};
use crate::util::names::quoted;

const WEIGHTS: &str = "model.safetensors";
const SHARDS: &str = "model.safetensors.index.json";
const ADAPTER: [&str; 2] = ["adapter_config.json", "adapter_model.safetensors"];
/// What describes a model and its tokenizer besides the weights.
const DESCRIPTIONS: [&str; 6] =
    ["config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja", "generation_config.json"];

/// One hub repository at one revision.
pub(crate) struct Repository {
    place: RepoRef,
    store: Store,
    force: bool,
    gguf: Option<String>,
    /// `None`: the cache only.
    client: Option<Client>,
}

/// What a repository holds at a commit.
pub(crate) struct Listing {
    commit: String,
    pub(crate) names: Vec<String>,
}

impl Listing {
    fn has(&self, file: &str) -> bool {
        self.names.iter().any(|name| name == file)
    }
}

impl Repository {
    /// What earlier runs fetched, and no network.
    pub(crate) fn in_cache(name: &str, kind: RepoKind, options: &HubOptions) -> Result<Self> {
        let (endpoint, revision) = (options.address()?, options.revision.clone());
        let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
        if !revision.split('/').all(plain) {
            return Err(Error::new(ErrorKind::Name, format!("`{revision}` is no revision"))
                .hint("give a branch, a tag or a commit; the default is `main`"));
        }
        let place = RepoRef { endpoint, name: name.to_string(), kind, revision, file: None, verb: "fetching" };
        Ok(Self {
            store: Store::new(options.cache(), &place),
            place,
            force: options.force_download,
            gguf: options.gguf_file.clone(),
            client: None,
        })
    }

    /// The same through the network, unless the options forbid it.
    pub(crate) fn open(name: &str, kind: RepoKind, options: &HubOptions) -> Result<Self> {
        let client = if options.offline() { None } else { Some(Client::new(options, 1)?) };
        Ok(Self { client, ..Self::in_cache(name, kind, options)? })
    }

    /// The folder with a whole checkpoint or adapter; only the files that they need are fetched, each shard of the weights included.
    pub(crate) fn checkpoint(&self) -> Result<PathBuf> {
        let listing = self.listing()?;
        if let Some(file) = self.gguf_file(&listing)? {
            for file in DESCRIPTIONS.into_iter().filter(|file| listing.has(file)).chain([file.as_str()]) {
                self.get(&listing, file)?;
            }
            return Ok(self.store.snapshot(&listing.commit));
        }
        let (adapter, model) = (listing.has(ADAPTER[0]), listing.has("config.json"));
        if !adapter && !model {
            return Err(self.lacks("config.json", &listing));
        }
        for file in DESCRIPTIONS.into_iter().filter(|file| listing.has(file)) {
            self.get(&listing, file)?;
        }
        if adapter {
            ADAPTER.iter().try_for_each(|file| self.get(&listing, file).map(drop))?;
        } else if listing.has(SHARDS) {
            shards(&self.get(&listing, SHARDS)?)?.iter().try_for_each(|shard| self.get(&listing, shard).map(drop))?;
        } else {
            self.get(&listing, WEIGHTS)?;
        }
        Ok(self.store.snapshot(&listing.commit))
    }

    /// The `.gguf` file that is meant: the named one, or the only one of a repository without other weights.
    fn gguf_file(&self, listing: &Listing) -> Result<Option<String>> {
        let files: Vec<String> = listing.names.iter().filter(|name| name.to_lowercase().ends_with(".gguf")).cloned().collect();
        match &files[..] {
            _ if self.gguf.is_some() => Ok(self.gguf.clone()),
            _ if listing.has("config.json") || listing.has(ADAPTER[0]) => Ok(None),
            [] => Ok(None),
            [file] => Ok(Some(file.clone())),
            [first, ..] => Err(Error::new(ErrorKind::Name, format!("{} holds {} models: {}", self.place, files.len(), quoted(&files)))
                .hint(format!("choose one: `HubOptions {{ gguf_file: Some({first:?}.into()), ..Default::default() }}`"))),
        }
    }

    /// The files with which a tokenizer can be read.
    pub(crate) fn tokenizer(&self) -> Result<PathBuf> {
        let listing = self.listing()?;
        let inside = if listing.has("tokenizer.json") { None } else { self.gguf_file(&listing)? };
        self.get(&listing, inside.as_deref().unwrap_or("tokenizer.json"))?;
        for file in DESCRIPTIONS.into_iter().filter(|file| listing.has(file)) {
            self.get(&listing, file)?;
        }
        Ok(self.store.snapshot(&listing.commit))
    }

    /// Asks the hub, or the cache, for the commit and its files.
    pub(crate) fn listing(&self) -> Result<Listing> {
        let Some(client) = &self.client else {
            let commit = self.store.commit().ok_or_else(|| self.not_cached("it"))?;
            let names = names_below(&self.store.snapshot(&commit));
            return if names.is_empty() { Err(self.not_cached("it")) } else { Ok(Listing { commit, names }) };
        };
        let url = format!("{}/revision/{}", self.place.api(), self.place.url_revision());
        let answer = client.json(&Call::new("GET", url), &self.place)?;
        let plain = |sha: &&str| !sha.is_empty() && sha.bytes().all(|byte| byte.is_ascii_hexdigit());
        let commit = answer["sha"].as_str().filter(plain).ok_or_else(|| failure::lacks(&self.place, "sha"))?;
        let siblings = answer["siblings"].as_array().into_iter().flatten();
        // A name with `..` would lead out of the cache; one with control characters could write anything into a message.
        let inside =
            |name: &&str| !name.contains(char::is_control) && name.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
        let names = siblings.filter_map(|file| file["rfilename"].as_str()).filter(inside).map(String::from).collect();
        self.store.remember(commit)?;
        Ok(Listing { commit: commit.to_string(), names })
    }

    /// A file of the repository, fetched unless the cache has it.
    pub(crate) fn get(&self, listing: &Listing, file: &str) -> Result<PathBuf> {
        if !listing.has(file) {
            return Err(self.lacks(file, listing));
        }
        match &self.client {
            Some(client) => fetch(client, &self.store, &listing.commit, &self.place, file, self.force),
            None => Ok(self.store.snapshot(&listing.commit).join(file)),
        }
    }

    fn lacks(&self, file: &str, listing: &Listing) -> Error {
        if self.client.is_none() {
            return self.not_cached(file);
        }
        let names = &listing.names[..listing.names.len().min(20)];
        let pickle = listing.names.iter().any(|name| name.ends_with(".bin") || name.ends_with(".pt"));
        Error::new(ErrorKind::Name, format!("{} has no {file}; it has {}", self.place, quoted(names))).hint(match pickle {
            true => {
                "the weights are a PyTorch pickle: save the model with `save_pretrained(…, safe_serialization=True)` in Python".to_string()
            }
            false => format!("see {}", self.place.page()),
        })
    }

    fn not_cached(&self, what: &str) -> Error {
        let revision = &self.place.revision;
        Error::new(
            ErrorKind::Name,
            format!("{}: {what} is not in the cache `{}` at revision `{revision}`", self.place, self.store.folder.display()),
        )
        .hint("without HF_HUB_OFFLINE and local_files_only it is fetched; `builtin:` names need no network")
    }
}

/// The weight files that the index of a checkpoint names.
fn shards(index: &Path) -> Result<Vec<String>> {
    let value: Value = json::read(index, limits::INDEX, ErrorKind::Model, "fetch it again with force_download")?;
    let files = value["weight_map"].as_object().into_iter().flat_map(|map| map.values());
    let mut names: Vec<String> = files.filter_map(|shard| shard.as_str().map(String::from)).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// All files below a folder whose content is there.
fn names_below(root: &Path) -> Vec<String> {
    let (mut names, mut folders) = (Vec::new(), vec![root.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            match path.strip_prefix(root) {
                _ if path.is_dir() => folders.push(path),
                Ok(name) if path.exists() => names.push(name.display().to_string()),
                _ => {}
            }
        }
    }
    names.sort();
    names
}
