//! A folder of files ↔ `manifest.json`: the size and the CRC-32C of each, so that a damaged one is found and named.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::border::{file, json, limits};
use crate::error::{Error, ErrorKind, Result};
use crate::util::crc32c::crc32c;
use crate::util::write::write_whole;

/// The file's name.
pub const FILE: &str = "manifest.json";

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    files: BTreeMap<String, Entry>,
    /// When the run that wrote the folder began, in microseconds since 1970; 0 in older checkpoints.
    #[serde(default)]
    run: u64,
    /// Rows that the run trains on; 0 in older checkpoints.
    #[serde(default)]
    rows: usize,
    /// The checksum of their ids; 0 in older checkpoints.
    #[serde(default)]
    data: u32,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    bytes: u64,
    crc32c: u32,
}

/// Writes the manifest of the files that a folder holds, read back from it; `run` is when their run began, `rows` how many it
/// trains on, `data` the checksum of their ids.
///
/// # Errors
/// When a file cannot be read or the manifest not be written.
pub fn write(folder: &Path, run: u64, rows: usize, data: u32) -> Result<()> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(|error| Error::file(folder, error))? {
        let entry = entry.map_err(|error| Error::file(folder, error))?;
        if entry.path().is_file() {
            files.insert(entry.file_name().to_string_lossy().into_owned(), read(&entry.path())?);
        }
    }
    let text = serde_json::to_string_pretty(&Manifest { files, run, rows, data }).unwrap_or_default();
    write_whole(&folder.join(FILE), format!("{text}\n").as_bytes())
}

/// When the run that wrote a folder began, in microseconds since 1970; none where its manifest cannot be read.
pub fn run(folder: &Path) -> Option<u64> {
    Some(manifest(folder)?.run)
}

/// Rows that the run that wrote a folder trains on, and the checksum of their ids; none where its manifest does not say.
pub fn rows(folder: &Path) -> Option<(usize, u32)> {
    manifest(folder).map(|manifest| (manifest.rows, manifest.data)).filter(|(rows, _)| *rows > 0)
}

fn manifest(folder: &Path) -> Option<Manifest> {
    json::read(&folder.join(FILE), limits::MANIFEST, ErrorKind::Training, "").ok()
}

/// Compares a folder with its manifest; the error names the first file that differs.
///
/// # Errors
/// When the manifest or a file of it is missing or has other bytes.
pub fn verify(folder: &Path) -> Result<()> {
    let path = folder.join(FILE);
    let damaged = |path: &Path, reason: String| {
        Error::new(ErrorKind::Training, format!("`{}` {reason}", path.display()))
            .hint("resume from another checkpoint of the run; `resume_latest` takes the newest whole one")
            .in_file(path)
    };
    let Some(bytes) = file::read_if_there(&path, limits::MANIFEST)? else {
        return Err(damaged(&path, "is missing, so the checkpoint is not whole".into()));
    };
    let manifest: Manifest =
        serde_json::from_slice(&bytes).map_err(|error| damaged(&path, format!("is damaged: {error}")).because(error))?;
    for (name, expected) in &manifest.files {
        // A checkpoint has no folders, and what lies elsewhere is not its own.
        if Path::new(name).file_name() != Some(name.as_ref()) {
            return Err(damaged(&path, format!("names `{}`, which is no file of the checkpoint", name.escape_debug())));
        }
        let path = folder.join(name);
        if let Ok(facts) = std::fs::metadata(&path)
            && facts.is_file()
            && facts.len() != expected.bytes
        {
            return Err(damaged(&path, format!("has {} bytes; {} were written", facts.len(), expected.bytes)));
        }
        let found = read(&path).map_err(|error| damaged(&path, "is missing; the manifest names it".into()).because(error))?;
        if found.bytes != expected.bytes {
            return Err(damaged(&path, format!("has {} bytes; {} were written", found.bytes, expected.bytes)));
        }
        if found != *expected {
            return Err(damaged(&path, "has other bytes than were written: its checksum differs".into()));
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Entry> {
    let fail = |error| Error::file(path, error);
    let mut file = file::open(path)?;
    let size = file.metadata().map_err(fail)?.len().clamp(1, 1 << 20);
    let (mut buffer, mut entry) = (vec![0; size as usize], Entry { bytes: 0, crc32c: 0 });
    loop {
        match file.read(&mut buffer).map_err(fail)? {
            0 => return Ok(entry),
            count => entry = Entry { bytes: entry.bytes + count as u64, crc32c: crc32c(entry.crc32c, &buffer[..count]) },
        }
    }
}
