//! A file → its bytes, unpacked and as UTF-8, and how its rows are written.

use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::str::Utf8Error;

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};

use crate::border::file;
use crate::data::bad::BadRow;
use crate::data::format::{Format, Packing, detect, packing_of_name};
use crate::error::{Error, ErrorKind, Result};
use crate::util::notice;

/// How much of a file is looked at to tell what it is.
const HEAD: usize = 64 << 10;

/// An opened file.
pub(crate) struct Input {
    pub(crate) path: PathBuf,
    pub(crate) format: Format,
    pub(crate) reader: Box<dyn BufRead + Send>,
}

impl Input {
    /// Opens a file; its format is the wanted one, or what name and content say.
    ///
    /// # Errors
    /// [`ErrorKind::File`] when it cannot be opened; [`ErrorKind::Data`] when it holds no rows that are read here.
    pub(crate) fn open(path: &Path, wanted: Option<Format>) -> Result<Self> {
        Self::opened(path, wanted, &|text| notice::warn(text))
    }

    /// The same once more, without a word about what was said the first time.
    pub(crate) fn again(path: &Path, format: Format) -> Result<Self> {
        Self::opened(path, Some(format), &|_| {})
    }

    fn opened(path: &Path, wanted: Option<Format>, say: &dyn Fn(std::fmt::Arguments<'_>)) -> Result<Self> {
        let fail = |error: io::Error| Error::file(path, error);
        if path.is_dir() {
            return Err(Error::file(path, io::Error::from(io::ErrorKind::IsADirectory)).hint("`load_dataset` reads the files of a folder"));
        }
        let mut reader: Box<dyn BufRead + Send> = Box::new(BufReader::with_capacity(HEAD, file::open(path)?));
        let damaged = |error: io::Error| {
            Error::new(ErrorKind::Data, format!("`{}` cannot be unpacked: {error}", path.display()))
                .hint("the file is cut off or damaged: fetch or pack it again")
                .in_file(path)
                .because(error)
        };
        let packing = Packing::of(reader.fill_buf().map_err(fail)?);
        let named = packing_of_name(path);
        if packing != named && !reader.fill_buf().map_err(fail)?.is_empty() {
            let what = packing.map_or("not packed", Packing::name);
            say(format_args!("`{}` is {what} by its content, whatever its name says, and is read as that", path.display()));
        }
        match packing {
            Some(Packing::Gzip) => reader = Box::new(BufReader::with_capacity(HEAD, MultiGzDecoder::new(reader))),
            Some(Packing::Zstandard) => reader = Box::new(BufReader::with_capacity(HEAD, Frames { source: Some(reader), open: None })),
            None => {}
        }
        let head = reader.fill_buf().map_err(damaged)?.to_vec();
        if packing.is_some() && (head.starts_with(b"PAR1") || head.starts_with(b"PK\x03\x04") || Packing::of(&head).is_some()) {
            let what = if head.starts_with(b"PAR1") { "a .parquet file" } else { "a packed file" };
            return Err(Error::new(ErrorKind::Data, format!("`{}` is {what} inside of a packed one", path.display()))
                .hint("unpack it first; .parquet and .xlsx are packed by themselves")
                .in_file(path));
        }
        match head[..] {
            [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => return Err(utf32(path)),
            [0xef, 0xbb, 0xbf, ..] => reader.consume(3),
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
                say(format_args!("`{}` is UTF-16, and is read as that", path.display()));
                reader.consume(2);
                let units = Utf16 { source: reader, big: head[0] == 0xfe, ready: Vec::new(), given: 0 };
                reader = Box::new(BufReader::with_capacity(HEAD, units));
            }
            _ => {
                if let Some(from) = utf16_without_mark(&head) {
                    let what = format!("`{}` looks like UTF-16 without its mark", path.display());
                    return Err(Error::new(ErrorKind::Data, what).hint(iconv(path, from)).in_file(path));
                }
            }
        }
        let format = detect(path, reader.fill_buf().map_err(damaged)?, wanted)?;
        Ok(Self { path: path.to_path_buf(), format, reader })
    }
}

/// The encoding of bytes of which every second one is 0, as in UTF-16 most are; in a text of UTF-8 none is.
fn utf16_without_mark(head: &[u8]) -> Option<&'static str> {
    let units = || head[..head.len().min(4096)].chunks_exact(2);
    let half = |zero: usize| units().filter(|unit| unit[zero] == 0 && unit[1 - zero] != 0).count();
    let (little, big, all) = (half(1), half(0), units().count());
    match all > 0 {
        true if little * 10 >= all * 7 => Some("utf-16le"),
        true if big * 10 >= all * 7 => Some("utf-16be"),
        _ => None,
    }
}

fn iconv(path: &Path, from: &str) -> String {
    format!("write it as UTF-8: `iconv -f {from} -t utf-8 {} > new`, with the encoding that it has", path.display())
}

fn utf32(path: &Path) -> Error {
    Error::new(ErrorKind::Data, format!("`{}` is UTF-32", path.display())).hint(iconv(path, "utf-32")).in_file(path)
}

/// The error of a line that is not UTF-8.
pub(crate) fn not_utf8(path: &Path, line: usize, error: Utf8Error) -> Error {
    let column = error.valid_up_to() + 1;
    Error::new(
        ErrorKind::Data,
        format!("{}:{line}: not UTF-8 text: column {column} (counted in bytes) begins no character", path.display()),
    )
    .hint(iconv(path, "windows-1252"))
    .in_file(path)
    .in_row(line)
    .because(error)
}

/// A bad row for a list.
pub(crate) fn noted(path: &Path, error: &Error) -> BadRow {
    BadRow { file: error.path().unwrap_or(path).to_path_buf(), line: error.row().unwrap_or(0), reason: error.message().to_string() }
}

type Source = Box<dyn BufRead + Send>;

/// The content of all frames of Zstandard, one after the other, each checked against its checksum.
struct Frames {
    source: Option<Source>,
    open: Option<StreamingDecoder<Source, ruzstd::decoding::FrameDecoder>>,
}

impl Read for Frames {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(frame) = &mut self.open {
                let read = frame.read(buffer)?;
                if read > 0 || buffer.is_empty() {
                    return Ok(read);
                }
            }
            if let Some(frame) = self.open.take() {
                let (source, decoder) = frame.into_parts();
                if decoder.get_checksum_from_data().is_some_and(|sum| Some(sum) != decoder.get_calculated_checksum()) {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "the content differs from its checksum"));
                }
                self.source = Some(source);
            }
            let Some(mut source) = self.source.take() else { return Ok(0) };
            if source.fill_buf()?.is_empty() {
                return Ok(0);
            }
            // The decoder takes the source; a frame to be skipped is read by hand, so its head is looked at first.
            let head: Vec<u8> = source.fill_buf()?.iter().take(8).copied().collect();
            if head.len() == 8 && head[0] & 0xf0 == 0x50 && head[1..4] == [0x2a, 0x4d, 0x18] {
                let length = u64::from(u32::from_le_bytes([head[4], head[5], head[6], head[7]]));
                let skipped = io::copy(&mut (&mut source).take(8 + length), &mut io::sink())?;
                if skipped < 8 + length {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                self.source = Some(source);
                continue;
            }
            self.open = Some(StreamingDecoder::new(source).map_err(|error| match error {
                FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::MagicNumberReadError(cause)) => cause,
                other => io::Error::new(io::ErrorKind::InvalidData, other),
            })?);
        }
    }
}

/// UTF-16 as UTF-8.
struct Utf16 {
    source: Source,
    big: bool,
    ready: Vec<u8>,
    given: usize,
}

impl Read for Utf16 {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.ready.len() {
            self.given = 0;
            self.ready.clear();
            let mut bytes = Vec::with_capacity(HEAD);
            (&mut self.source).take(HEAD as u64).read_to_end(&mut bytes)?;
            let unit = |pair: &[u8]| if self.big { u16::from_be_bytes([pair[0], pair[1]]) } else { u16::from_le_bytes([pair[0], pair[1]]) };
            // A character may lie across the end of the piece.
            if bytes.len() >= 2 && (0xd800..0xdc00).contains(&unit(&bytes[bytes.len() - 2..])) {
                (&mut self.source).take(2).read_to_end(&mut bytes)?;
            }
            let bad = |what: &'static str| io::Error::new(io::ErrorKind::InvalidData, what);
            if bytes.len() % 2 == 1 {
                return Err(bad("UTF-16 with half of a character at its end"));
            }
            for c in char::decode_utf16(bytes.chunks_exact(2).map(unit)) {
                let c = c.map_err(|_| bad("UTF-16 with half of a character"))?;
                self.ready.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        let count = buffer.len().min(self.ready.len() - self.given);
        buffer[..count].copy_from_slice(&self.ready[self.given..self.given + count]);
        self.given += count;
        Ok(count)
    }
}
