//! Local files → one commit of a hub repository, as `upload_folder` of Python's `huggingface_hub` makes it.
//!
//! create the repository → ask which files are large (`preupload`) → put those into the store (Git LFS, in one piece or in
//! parts) and have them verified → commit all by name. Until the commit the repository stays as it was.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::border::{file, limits};
use crate::error::{Error, ErrorKind, Result};
use crate::hub::client::{Call, Client};
use crate::hub::digest::sha256;
use crate::hub::failure;
use crate::hub::meter::Meter;
use crate::hub::name::check_repository;
use crate::hub::options::HubOptions;
use crate::hub::payload::Payload;
use crate::hub::trouble::{RepoKind, RepoRef};
use crate::util::interrupt;

/// How many files one request describes.
const BATCH: usize = 256;
/// An upload is given this many times the time that a download is.
const PATIENCE: u32 = 6;
const LFS: &str = "application/vnd.git-lfs+json";

/// How something is published.
#[derive(Debug, Clone, Default)]
pub struct PushOptions {
    /// Whether a new repository is private; an old one stays as it is.
    pub private: bool,
    /// The commit's message; without it `Upload model`, `Upload adapter` or `Upload data set`.
    pub commit_message: Option<String>,
    /// The licence for the card, such as `apache-2.0`; without it the card names none.
    pub license: Option<String>,
    /// The hub, the token (which needs the right to write) and the branch.
    pub hub: HubOptions,
}

/// A file to be published.
struct Upload {
    /// Its name in the repository.
    name: String,
    path: PathBuf,
}

/// A file with what the hub wants to know about it.
struct Entry<'a> {
    file: &'a Upload,
    size: u64,
    /// The SHA-256 of a large file.
    large: Option<String>,
}

/// Publishes the files of a folder, those below it included, as the model `owner/name`, such as a checkpoint that Python wrote; hidden
/// ones are left out. Returns the commit's page.
///
/// # Errors
/// As [`crate::CausalLm::push_to_hub`].
pub fn upload_folder(name: &str, folder: impl AsRef<Path>, options: &PushOptions) -> Result<String> {
    push(name, RepoKind::Model, folder.as_ref(), "Upload folder", options)
}

/// Publishes a folder by one commit; `README.md` is left out where the repository has one. Returns the commit's page.
///
/// # Errors
/// [`ErrorKind::Name`] without a token or the right to write, or when the hub cannot be asked; [`ErrorKind::Interrupted`]: nothing
/// is committed, and what was uploaded is not uploaded again.
pub(crate) fn push(name: &str, kind: RepoKind, folder: &Path, message: &str, options: &PushOptions) -> Result<String> {
    let files = files_below(folder)?;
    let hub = &options.hub;
    let client = client(name, kind, hub)?;
    let endpoint = client.endpoint.clone();
    let place = RepoRef { endpoint, name: name.to_string(), kind, revision: hub.revision.clone(), file: None, verb: "publishing" };
    create(&client, &place, options.private)?;
    let files = without_readme(&client, &place, &files)?;
    let mut entries = Vec::new();
    for batch in files.chunks(BATCH) {
        entries.extend(preupload(&client, &place, batch)?);
    }
    let large: Vec<&Entry> = entries.iter().filter(|entry| entry.large.is_some()).collect();
    for batch in large.chunks(BATCH) {
        store(&client, &place, batch)?;
    }
    commit(&client, &place, &entries, options.commit_message.as_deref().unwrap_or(message))
}

/// All files below a folder by their names in the repository.
fn files_below(root: &Path) -> Result<Vec<Upload>> {
    let (mut files, mut folders) = (Vec::new(), vec![root.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(|error| Error::file(&folder, error))? {
            let entry = entry.map_err(|error| Error::file(&folder, error))?;
            let path = entry.path();
            match path.strip_prefix(root) {
                _ if entry.file_name().to_string_lossy().starts_with('.') => {}
                _ if path.is_symlink() && !may_follow(root, &path) => return Err(leads_out(&path)),
                _ if path.is_dir() => folders.push(path),
                Ok(name) => {
                    let name = name.to_str().ok_or_else(|| {
                        Error::new(ErrorKind::File, format!("the name of `{}` is no UTF-8 text", path.display()))
                            .hint("rename the file")
                            .in_file(&path)
                    })?;
                    files.push(Upload { name: name.to_string(), path: path.clone() });
                }
                Err(_) => {}
            }
        }
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    if files.is_empty() {
        return Err(
            Error::new(ErrorKind::File, format!("`{}` holds no file to publish", root.display())).hint("name the folder of a checkpoint")
        );
    }
    Ok(files)
}

/// Whether a link may be published: to a file of the folder, or, in a snapshot of the hub's cache, to a content of its repository.
fn may_follow(root: &Path, link: &Path) -> bool {
    let (Ok(root), Ok(target)) = (root.canonicalize(), link.canonicalize()) else { return false };
    let blobs = root.parent().and_then(Path::parent).map(|repository| repository.join("blobs"));
    target.is_file() && (target.starts_with(&root) || target.parent() == blobs.as_deref())
}

fn leads_out(link: &Path) -> Error {
    let message = format!("`{}` is a link to a folder, to nothing, or out of the folder; what lies there is not published", link.display());
    Error::new(ErrorKind::File, message).hint("replace the link by what it leads to, or remove it").in_file(link)
}

/// A client that may write.
fn client(name: &str, kind: RepoKind, hub: &HubOptions) -> Result<Client> {
    if name.split('/').count() != 2 {
        return Err(Error::new(ErrorKind::Name, format!("`{name}` is no name of a repository"))
            .hint("give your name on the hub and one for the repository: `owner/name`"));
    }
    check_repository(name, kind.noun(), "your name on the hub and one for the repository")?;
    if hub.offline() {
        return Err(Error::new(ErrorKind::Name, format!("`{name}` cannot be published while HF_HUB_OFFLINE or local_files_only is set"))
            .hint("unset it, or save to a folder with `save_pretrained`"));
    }
    let client = Client::new(hub, PATIENCE)?;
    if client.token.is_none() {
        let message = format!("`{name}` cannot be published: there is no token");
        return Err(Error::new(ErrorKind::Name, message)
            .hint(format!("make one with the right to write at {}/settings/tokens and set HF_TOKEN", client.endpoint)));
    }
    Ok(client)
}

fn create(client: &Client, place: &RepoRef, private: bool) -> Result<()> {
    let (owner, name) = place.name.split_once('/').unwrap_or(("", &place.name));
    let mut wanted = json!({ "name": name, "organization": owner, "private": private });
    if place.kind == RepoKind::Dataset {
        wanted["type"] = json!("dataset");
    }
    let call = Call { also: Some(409), ..Call::new("POST", format!("{}/api/repos/create", place.endpoint)).json(&wanted) };
    client.send(&call, place).map(drop)
}

/// The files that are to be written: a card that somebody wrote stays.
fn without_readme<'a>(client: &Client, place: &RepoRef, files: &'a [Upload]) -> Result<Vec<&'a Upload>> {
    let url = format!("{}/revision/{}", place.api(), place.url_revision());
    let answer = client.json(&Call::new("GET", url), place)?;
    let old = answer["siblings"].as_array().into_iter().flatten().any(|file| file["rfilename"] == "README.md");
    Ok(files.iter().filter(|file| !(old && file.name == "README.md")).collect())
}

/// Asks which files are large, and which the repository ignores.
fn preupload<'a>(client: &Client, place: &RepoRef, files: &[&'a Upload]) -> Result<Vec<Entry<'a>>> {
    let mut described = Vec::new();
    let mut sizes = Vec::new();
    for file in files {
        let fail = |error| Error::file(&file.path, error);
        let size = std::fs::metadata(&file.path).map_err(fail)?.len();
        let mut start = Vec::new();
        std::io::Read::read_to_end(&mut std::io::Read::take(file::open(&file.path)?, 512), &mut start).map_err(fail)?;
        described.push(json!({ "path": file.name, "sample": STANDARD.encode(start), "size": size }));
        sizes.push(size);
    }
    let call = Call::new("POST", format!("{}/preupload/{}", place.api(), place.url_revision())).json(&json!({ "files": described }));
    let answer = client.json(&call, place)?;
    let mut entries = Vec::new();
    for (file, size) in files.iter().zip(sizes) {
        let mut said = answer["files"].as_array().into_iter().flatten().filter(|said| said["path"] == file.name.as_str());
        let said = said.next().ok_or_else(|| failure::lacks(place, &format!("word about {}", file.name)))?;
        if said["shouldIgnore"] == true {
            continue;
        }
        let large = if said["uploadMode"] == "lfs" { Some(sha256(&file.path)?) } else { None };
        entries.push(Entry { file, size, large });
    }
    Ok(entries)
}

/// Puts large files into the store; those that are there already are not sent.
fn store(client: &Client, place: &RepoRef, entries: &[&Entry]) -> Result<()> {
    let objects: Vec<_> = entries.iter().map(|entry| json!({ "oid": entry.large, "size": entry.size })).collect();
    let wanted = json!({ "operation": "upload", "transfers": ["basic", "multipart"], "hash_algo": "sha256", "objects": objects,
        "ref": { "name": place.revision } });
    let call = lfs_call(format!("{}.git/info/lfs/objects/batch", place.page()), &wanted);
    let answer = client.json(&call, place)?;
    for entry in entries {
        let oid = entry.large.as_deref().unwrap_or_default();
        let place = &place.file(&entry.file.name);
        let mut said = answer["objects"].as_array().into_iter().flatten().filter(|said| said["oid"] == oid);
        let said = said.next().ok_or_else(|| failure::lacks(place, "place to upload to"))?;
        if let Some(message) = said["error"]["message"].as_str() {
            return Err(
                Error::new(ErrorKind::Name, format!("{place}: the hub does not take it: {message}")).hint(format!("see {}", place.page()))
            );
        }
        let actions = &said["actions"];
        if actions.is_null() {
            continue;
        }
        send(client, place, entry, oid, &actions["upload"])?;
        if let Some(url) = actions["verify"]["href"].as_str() {
            client.send(&lfs_call(url, &json!({ "oid": oid, "size": entry.size })), place)?;
        }
    }
    Ok(())
}

fn lfs_call(url: impl Into<String>, value: &Value) -> Call {
    let mut call = Call::new("POST", url).json(value);
    call.headers = [("accept", LFS), ("content-type", LFS)].map(|(name, value)| (name.to_string(), value.to_string())).into();
    call
}

/// Sends one file, in one piece or in as many parts as the hub says.
fn send(client: &Client, place: &RepoRef, entry: &Entry, oid: &str, action: &Value) -> Result<()> {
    let url = action["href"].as_str().ok_or_else(|| failure::lacks(place, "place to upload to"))?;
    let path = entry.file.path.clone();
    let part = |start: u64, length: u64| Payload::Part { path: path.clone(), start, length };
    let headers = action["header"].as_object();
    let chunk = headers.and_then(|headers| headers.get("chunk_size"));
    let meter = |before: u64| {
        let old = client.meter.take().map(|(meter, _)| meter);
        let meter = old.unwrap_or_else(|| Meter::new(entry.file.name.clone(), 0, entry.size));
        client.meter.replace(Some((meter, before)));
    };
    let Some(chunk) = chunk else {
        let text = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_string()));
        let headers = headers.into_iter().flatten().filter_map(text).collect();
        meter(0);
        client.send(&Call { headers, payload: part(0, entry.size), ..Call::new("PUT", url) }, place)?;
        return finish(client, entry.size);
    };
    let number = chunk.as_u64().or_else(|| chunk.as_str()?.parse().ok()).filter(|size| *size > 0);
    let chunk = number.ok_or_else(|| failure::lacks(place, "chunk_size that is a number"))?;
    let mut parts = Vec::new();
    for number in 1..=entry.size.div_ceil(chunk) {
        interrupt::check(place.doing())?;
        // The parts are named by their number, filled up with zeros or not.
        let named = |name: &str| name.parse() == Ok(number);
        let url = headers.into_iter().flatten().find(|(name, _)| named(name)).and_then(|(_, url)| url.as_str());
        let url = url.ok_or_else(|| failure::lacks(place, &format!("place for part {number}")))?;
        let start = (number - 1) * chunk;
        meter(start);
        let answer = client.send(&Call { payload: part(start, chunk.min(entry.size - start)), ..Call::new("PUT", url) }, place)?;
        let tag = answer.header("etag").ok_or_else(|| failure::lacks(place, "ETag of a part"))?;
        parts.push(json!({ "partNumber": number, "etag": tag }));
    }
    client.send(&lfs_call(url, &json!({ "oid": oid, "parts": parts })), place)?;
    finish(client, entry.size)
}

/// Shows that all is sent.
fn finish(client: &Client, size: u64) -> Result<()> {
    if let Some((mut meter, _)) = client.meter.take() {
        meter.update(size);
    }
    Ok(())
}

/// One line for the message and one for each file.
fn commit(client: &Client, place: &RepoRef, entries: &[Entry], message: &str) -> Result<String> {
    let mut lines = json!({ "key": "header", "value": { "summary": message, "description": "" } }).to_string();
    for Entry { file, size, large } in entries {
        let line = match large {
            Some(oid) => json!({ "key": "lfsFile", "value": { "path": file.name, "algo": "sha256", "oid": oid, "size": size } }),
            None => {
                let bytes = file::read(&file.path, limits::COMMITTED)?;
                json!({ "key": "file", "value": { "path": file.name, "encoding": "base64", "content": STANDARD.encode(bytes) } })
            }
        };
        lines += "\n";
        lines += &line.to_string();
    }
    let mut call = Call::new("POST", format!("{}/commit/{}", place.api(), place.url_revision()));
    call.headers.push(("content-type".to_string(), "application/x-ndjson".to_string()));
    call.payload = Payload::Bytes(lines.into_bytes());
    let answer = client.json(&call, place)?;
    Ok(answer["commitUrl"].as_str().map_or_else(|| place.page(), String::from))
}
