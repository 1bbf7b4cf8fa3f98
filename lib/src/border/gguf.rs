//! A `.gguf` file → its metadata and tensors' places, after a walk through all counts that it declares.
//!
//! candle reads the file; it checks lengths against the file, but takes any alignment, overflows with large dimensions and makes
//! 32 bytes of a byte in a list. What it would be asked for is added up here first, from the same fields in the same order.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

use candle_core::quantized::gguf_file::Content;

use crate::border::file;
use crate::border::guard::guarded;
use crate::border::limits::{ELEMENTS, GGUF_DEPTH, GGUF_ENTRIES, GGUF_TEXT, GGUF_VALUES, TENSORS};
use crate::error::{Error, ErrorKind, Result};

/// Types of values.
const TEXT: u32 = 8;
const LIST: u32 = 9;
/// The entry that says where data begin.
const ALIGNMENT: &[u8] = b"general.alignment";
/// The largest alignment: a page of the largest machines.
const LARGEST_ALIGNMENT: u64 = 1 << 16;

/// Opens a file and reads all but its tensors' data, which the reader is good for.
///
/// # Errors
/// An error of `kind` for a file that is not whole, or declares more than the limits; [`ErrorKind::File`] when it cannot be opened.
pub fn open(path: &Path, kind: ErrorKind) -> Result<(Content, BufReader<File>)> {
    let file = file::open(path)?;
    let size = file.metadata().map_err(|error| Error::file(path, error))?.len();
    let mut reader = BufReader::new(file);
    let damaged = |reason: String| {
        Error::new(kind, format!("`{}`: not a whole GGUF file: {reason}", path.display())).hint("fetch the file again").in_file(path)
    };
    let mut walk = Walk { reader: &mut reader, left: size, values: 0, long: false };
    walk.file().map_err(|error| damaged(error.to_string()).because(error))?;
    reader.rewind().map_err(|error| Error::file(path, error))?;
    let read = || Content::read(&mut reader).map_err(|error| damaged(first_line(&error)).because(Error::from(error)));
    let content = guarded(kind, format_args!("`{}`", path.display()), read)?;
    Ok((content, reader))
}

/// What candle says, without the pages that it may add.
pub fn first_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_string()
}

struct Walk<'a> {
    reader: &'a mut BufReader<File>,
    /// Bytes of the file behind the place of the reader.
    left: u64,
    /// Values of lists so far.
    values: u64,
    /// Whether lengths have 8 bytes: from version 2 on.
    long: bool,
}

fn wrong<T>(what: String) -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::InvalidData, what))
}

/// `count` of something, if it is allowed.
fn at_most(what: &str, count: u64, limit: u64) -> io::Result<u64> {
    if count <= limit { Ok(count) } else { wrong(format!("it declares {count} {what}; {limit} are allowed")) }
}

impl Walk<'_> {
    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        self.left = self.left.saturating_sub(N as u64);
        Ok(bytes)
    }

    fn u32(&mut self) -> io::Result<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> io::Result<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn length(&mut self) -> io::Result<u64> {
        if self.long { self.u64() } else { self.u32().map(u64::from) }
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        if bytes > self.left {
            return wrong(format!("{bytes} bytes should follow, and {} are left", self.left));
        }
        self.left -= bytes;
        self.reader.seek_relative(bytes as i64)
    }

    /// The bytes of a short text; of a long one none.
    fn text(&mut self) -> io::Result<Vec<u8>> {
        let length = self.length()?;
        let length = at_most("bytes of a text", length, GGUF_TEXT)?;
        if length != ALIGNMENT.len() as u64 {
            return self.skip(length).map(|()| Vec::new());
        }
        self.take::<{ ALIGNMENT.len() }>().map(Vec::from)
    }

    fn file(&mut self) -> io::Result<()> {
        let _magic = self.u32()?;
        self.long = self.u32()? > 1;
        let (tensors, entries) = (self.length()?, self.length()?);
        let (tensors, entries) = (at_most("tensors", tensors, TENSORS)?, at_most("entries of metadata", entries, GGUF_ENTRIES)?);
        for _ in 0..entries {
            let key = self.text()?;
            match (self.u32()?, key == ALIGNMENT) {
                (kind, true) => self.alignment(kind)?,
                (kind, false) => self.value(kind, 0)?,
            }
        }
        (0..tensors).try_for_each(|_| self.tensor())
    }

    /// The alignment is a whole number of four bytes in the format; candle takes shorter ones.
    fn alignment(&mut self, kind: u32) -> io::Result<()> {
        let alignment = match kind {
            0 | 1 => u64::from(self.take::<1>()?[0]),
            2 | 3 => u64::from(u16::from_le_bytes(self.take()?)),
            4 | 5 => u64::from(self.u32()?),
            other => return self.value(other, 0),
        };
        match alignment.is_power_of_two() && alignment <= LARGEST_ALIGNMENT {
            true => Ok(()),
            false => wrong(format!("general.alignment is {alignment}; it must be a power of two up to {LARGEST_ALIGNMENT}")),
        }
    }

    fn value(&mut self, kind: u32, depth: usize) -> io::Result<()> {
        match (kind, width(kind)) {
            (TEXT, _) => self.text().map(drop),
            (LIST, _) if depth == GGUF_DEPTH => wrong(format!("more than {GGUF_DEPTH} lists inside of each other")),
            (LIST, _) => {
                let (kind, count) = (self.u32()?, self.length()?);
                self.values = at_most("values in lists", self.values.saturating_add(count), GGUF_VALUES)?;
                match width(kind) {
                    Some(width) => self.skip(width * count),
                    None => (0..count).try_for_each(|_| self.value(kind, depth + 1)),
                }
            }
            (_, Some(width)) => self.skip(width),
            (other, None) => wrong(format!("a value is of type {other}, which there is not")),
        }
    }

    fn tensor(&mut self) -> io::Result<()> {
        self.text()?;
        let rank = self.u32()?;
        // The bound is ggml's own.
        at_most("dimensions of a tensor", u64::from(rank), 4)?;
        let mut elements = 1u64;
        for _ in 0..rank {
            elements = at_most("numbers of a tensor", elements.saturating_mul(self.length()?), ELEMENTS)?;
        }
        let _format = self.u32()?;
        let _offset = self.u64()?;
        Ok(())
    }
}

/// Bytes of a value whose type has a fixed size.
fn width(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}
