//! A file of a repository → a checked file of the cache: resumed after a cut, locked against a second process.
//!
//! The layout is that of `hf_hub` and of Python's `huggingface_hub`: the content lies in `blobs/<tag>`, `snapshots/<commit>/<file>` links to
//! it, `refs/<revision>` names the commit, and `.locks` holds a lock for each content.

use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hf_hub::{Cache, Repo};

use crate::border::{file, limits};
use crate::error::{Error, ErrorKind, Result};
use crate::hub::client::{Call, Client};
use crate::hub::digest::Checksum;
use crate::hub::failure;
use crate::hub::meter::{Meter, megabytes};
use crate::hub::trouble::{RepoRef, TransportError, escape};
use crate::util::{interrupt, notice, write};

/// The folder of one repository in the cache.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    cache: Cache,
    repo: Repo,
    pub(crate) folder: PathBuf,
    locks: PathBuf,
}

impl Store {
    pub(crate) fn new(cache: PathBuf, place: &RepoRef) -> Self {
        let repo = place.repo();
        let name = repo.folder_name();
        Self { folder: cache.join(&name), locks: cache.join(".locks").join(&name), cache: Cache::new(cache), repo }
    }

    /// The commit that the revision had when it was last asked for.
    pub(crate) fn commit(&self) -> Option<String> {
        let known = file::read_text(&self.folder.join("refs").join(self.repo.revision()), limits::NOTE).ok();
        let commit = known.map(|text| text.trim().to_string()).filter(|text| !text.is_empty());
        commit.or_else(|| self.snapshot(self.repo.revision()).is_dir().then(|| self.repo.revision().to_string()))
    }

    /// The folder of a commit's files.
    pub(crate) fn snapshot(&self, commit: &str) -> PathBuf {
        self.cache.repo(self.repo.clone()).pointer_path(commit)
    }

    /// Remembers the commit of the revision.
    pub(crate) fn remember(&self, commit: &str) -> Result<()> {
        if commit == self.repo.revision() {
            return Ok(());
        }
        let path = self.folder.join("refs").join(self.repo.revision());
        let text = file::read_text(&path, limits::NOTE).unwrap_or_default();
        if text == commit { Ok(()) } else { replace(&path, |aside| std::fs::write(aside, commit)) }
    }

    fn blob(&self, tag: &str) -> PathBuf {
        self.folder.join("blobs").join(tag)
    }

    /// The right to write a content, which one process has at a time.
    fn lock(&self, tag: &str, place: &RepoRef) -> Result<File> {
        let path = self.locks.join(format!("{tag}.lock"));
        let fail = |error| Error::file(&path, error);
        make_parent(&path)?;
        let file = File::options().write(true).create(true).truncate(false).open(&path).map_err(fail)?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(error)) => return Err(fail(error)),
                Err(TryLockError::WouldBlock) => {
                    interrupt::check(format_args!("while another process fetches {place}"))?;
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
        }
    }

    /// Lets the snapshot's name lead to the content.
    fn link(&self, commit: &str, file: &str, tag: &str) -> Result<PathBuf> {
        let path = self.snapshot(commit).join(file);
        let ups = 2 + file.split('/').count() - 1;
        let content = Path::new(&"../".repeat(ups)).join("blobs").join(tag);
        if !std::fs::read_link(&path).is_ok_and(|old| old == content) {
            replace(&path, |aside| std::os::unix::fs::symlink(&content, aside))?;
        }
        Ok(path)
    }
}

fn make_parent(path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|error| Error::file(folder, error).hint("choose another cache with HF_HUB_CACHE"))
}

/// Makes a file aside and renames it (see [`write::replace`]).
fn replace(path: &Path, make: impl Fn(&Path) -> io::Result<()>) -> Result<()> {
    make_parent(path)?;
    write::replace(path, make).map_err(|error| Error::file(path, error))
}

/// What the hub says about a file.
struct Facts {
    tag: String,
    size: u64,
    /// Where its bytes are.
    url: String,
}

/// Fetches a file of a commit, unless its content is there.
///
/// # Errors
/// [`ErrorKind::Interrupted`]; [`ErrorKind::Name`] when the hub has no such file or cannot be asked; [`ErrorKind::File`] when the
/// content differs from its checksum twice, or the disk is full.
pub(crate) fn fetch(client: &Client, store: &Store, commit: &str, place: &RepoRef, file: &str, force: bool) -> Result<PathBuf> {
    let place = &place.file(file);
    let path = store.snapshot(commit).join(file);
    if !force && path.exists() {
        return Ok(path);
    }
    let facts = facts(client, commit, place, file)?;
    let blob = store.blob(&facts.tag);
    make_parent(&blob)?;
    let _lock = store.lock(&facts.tag, place)?;
    if force || !blob.exists() {
        let mut again = false;
        while !download(client, &facts, &blob, place, force && !again)? {
            if std::mem::replace(&mut again, true) {
                return Err(Error::new(ErrorKind::File, format!("{place}: what came differs from its checksum {}, twice", facts.tag))
                    .hint("run this again; if it stays, a proxy or the server changes the file: check HF_ENDPOINT"));
            }
            notice::warn(format_args!("{place}: what came differs from its checksum and is fetched anew"));
        }
    }
    store.link(commit, file, &facts.tag)
}

fn facts(client: &Client, commit: &str, place: &RepoRef, file: &str) -> Result<Facts> {
    let url = format!("{}/resolve/{commit}/{}", place.page(), escape(file));
    let answer = client.send(&Call { stay: true, ..Call::new("HEAD", url) }, place)?;
    let header = |names: [&str; 2]| names.iter().find_map(|name| answer.header(name)).map(String::from);
    let tag = header(["x-linked-etag", "etag"]).map(|tag| tag.trim_start_matches("W/").trim_matches('"').to_string());
    let tag = tag.filter(|tag| !tag.is_empty() && !tag.contains(['/', '\\']) && !tag.starts_with('.'));
    let size = header(["x-linked-size", "content-length"]).and_then(|size| size.parse().ok());
    match (tag, size) {
        (Some(tag), Some(size)) => Ok(Facts { tag, size, url: answer.header("location").unwrap_or(&answer.url).to_string() }),
        _ => Err(failure::lacks(place, "ETag or Content-Length")),
    }
}

/// Brings a content into its place; false when it differs from its checksum, and then nothing of it stays.
fn download(client: &Client, facts: &Facts, blob: &Path, place: &RepoRef, force: bool) -> Result<bool> {
    let partial = blob.with_file_name(format!("{}.incomplete", facts.tag));
    let disk = |error: io::Error, there: u64| disk_error(&partial, error, there, facts.size);
    let mut file = File::options().append(true).create(true).open(&partial).map_err(|error| disk(error, 0))?;
    let mut there = file.metadata().map_err(|error| disk(error, 0))?.len();
    if force || there > facts.size {
        file.set_len(0).map_err(|error| disk(error, 0))?;
        there = 0;
    }
    let mut checksum = Checksum::of_tag(&facts.tag, facts.size);
    if there > 0 {
        checksum.read(&partial)?;
    }
    let mut meter = Meter::new(place.file.clone().unwrap_or_default(), there, facts.size);
    let (mut attempts, mut furthest) = (client.attempts(), there);
    let mut whole = there == facts.size && there > 0;
    while !whole {
        let mut call = Call::new("GET", facts.url.clone());
        if there > 0 {
            call.headers.push(("range".to_string(), format!("bytes={there}-")));
        }
        let mut trouble = None;
        match client.once(&call, place)? {
            Err(failed) => trouble = Some(failed),
            Ok(answer) => {
                if there > 0 && answer.status != 206 {
                    // The server does not know ranges: from the beginning.
                    file.set_len(0).map_err(|error| disk(error, there))?;
                    (there, checksum) = (0, Checksum::of_tag(&facts.tag, facts.size));
                }
                loop {
                    let doing = || format!("{}, after {} of {}", place.doing(), megabytes(there), megabytes(facts.size));
                    interrupt::check(doing())?;
                    match answer.chunk(&doing)? {
                        Err(failed) => trouble = Some(failed),
                        Ok(None) => {}
                        Ok(Some(bytes)) => {
                            file.write_all(&bytes).map_err(|error| disk(error, there))?;
                            checksum.update(&bytes);
                            there += bytes.len() as u64;
                            meter.update(there);
                            if there > furthest {
                                furthest = there;
                                attempts.progress();
                            }
                            if there <= facts.size {
                                continue;
                            }
                        }
                    }
                    break;
                }
            }
        }
        whole = there >= facts.size;
        if !whole {
            let early = || TransportError::Cut(format!("{} of {} bytes came", there, facts.size));
            attempts.again(&trouble.unwrap_or_else(early), place)?;
        }
    }
    file.sync_all().map_err(|error| disk(error, there))?;
    let sum = checksum.text();
    if there != facts.size || sum.is_some_and(|sum| sum != facts.tag.to_lowercase()) {
        std::fs::remove_file(&partial).map_err(|error| Error::file(&partial, error))?;
        return Ok(false);
    }
    std::fs::rename(&partial, blob).map_err(|error| Error::file(blob, error))?;
    Ok(true)
}

fn disk_error(path: &Path, error: io::Error, there: u64, size: u64) -> Error {
    if error.kind() != io::ErrorKind::StorageFull && error.kind() != io::ErrorKind::QuotaExceeded {
        return Error::file(path, error);
    }
    let message = format!("`{}`: the disk is full: {} of {} are written and kept", path.display(), megabytes(there), megabytes(size));
    Error::new(ErrorKind::File, message)
        .in_file(path)
        .because(error)
        .hint(format!("free {} and run this again, it goes on from there; HF_HUB_CACHE moves the cache", megabytes(size - there)))
}
