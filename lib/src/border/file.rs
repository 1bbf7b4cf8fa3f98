//! A path and a limit → the bytes of a file, no more of them than the limit; never a device or a pipe.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::border::limits::Limit;
use crate::error::{Error, ErrorKind, Result};

/// Bytes by which the memory for a file grows, so that a file that only claims its size costs nothing.
const STEP: usize = 1 << 20;

/// Opens a file to read it; a folder, a device and a pipe, which have no end, are refused by name.
///
/// # Errors
/// [`ErrorKind::File`] when there is no such file, or it is no file.
pub fn open(path: &Path) -> Result<File> {
    let fail = |error| Error::file(path, error);
    // Asked before it is opened: opening a pipe waits for who writes into it.
    regular(path, &std::fs::metadata(path).map_err(fail)?)?;
    let file = File::open(path).map_err(fail)?;
    regular(path, &file.metadata().map_err(fail)?)?;
    Ok(file)
}

fn regular(path: &Path, facts: &Metadata) -> Result<()> {
    if facts.is_file() {
        return Ok(());
    }
    if facts.is_dir() {
        return Err(Error::file(path, io::ErrorKind::IsADirectory.into()));
    }
    Err(Error::new(ErrorKind::File, format!("`{}` is no file: a device, a pipe or a socket", path.display()))
        .hint("copy its content into a file, and name that")
        .in_file(path))
}

/// The whole content of a file that has `limit` bytes at most: looked at before memory is asked for, and while it is read.
///
/// # Errors
/// [`ErrorKind::File`] for a file that cannot be read, is no file, or is too large.
pub fn read(path: &Path, limit: Limit) -> Result<Vec<u8>> {
    let file = open(path)?;
    let announced = file.metadata().map_err(|error| Error::file(path, error))?.len();
    let too_large = |bytes: u64| {
        Error::new(ErrorKind::File, format!("`{}` has {bytes} bytes; {} may have {}", path.display(), limit.what, limit.bytes))
            .hint("check that it is the file that is meant; fetch or write it again")
            .in_file(path)
    };
    if announced > limit.bytes {
        return Err(too_large(announced));
    }
    let mut bytes = Vec::with_capacity((announced as usize).min(STEP));
    file.take(limit.bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| Error::file(path, error))?;
    match bytes.len() as u64 > limit.bytes {
        true => Err(too_large(bytes.len() as u64)),
        false => Ok(bytes),
    }
}

/// [`read`] of a file that need not be there.
///
/// # Errors
/// As [`read`], but for a file that is missing.
pub fn read_if_there(path: &Path, limit: Limit) -> Result<Option<Vec<u8>>> {
    match std::fs::metadata(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        _ => read(path, limit).map(Some),
    }
}

/// [`read`] of a text.
///
/// # Errors
/// As [`read`], and [`ErrorKind::File`] for what is no UTF-8.
pub fn read_text(path: &Path, limit: Limit) -> Result<String> {
    String::from_utf8(read(path, limit)?).map_err(|error| {
        Error::new(ErrorKind::File, format!("`{}` is no UTF-8 text: {}", path.display(), error.utf8_error()))
            .hint("save it as UTF-8")
            .in_file(path)
            .because(error)
    })
}

/// What a file is at a moment, so that a change of it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The file, whatever its name.
    file: (u64, u64),
    length: u64,
    /// When it was last written, in seconds and nanoseconds.
    written: (i64, i64),
}

impl Stamp {
    /// Of the file that a path leads to; none where there is none.
    pub fn of(path: &Path) -> Option<Self> {
        let facts = std::fs::metadata(path).ok()?;
        Some(Self { file: (facts.dev(), facts.ino()), length: facts.len(), written: (facts.mtime(), facts.mtime_nsec()) })
    }

    /// Whether the path leads to another file, or to the same with another content.
    pub fn is_new(&self, path: &Path) -> bool {
        Self::of(path) != Some(*self)
    }

    /// Whether the same file has another content: who has it open reads a mixture, unlike of a file that took its name.
    pub fn is_rewritten(&self, path: &Path) -> bool {
        Self::of(path).is_some_and(|now| now.file == self.file && now != *self)
    }
}
