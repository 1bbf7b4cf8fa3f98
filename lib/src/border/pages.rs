//! A .parquet file → whether each of its pages unpacks into no more than [`PAGE`], before a library allocates for it.
//!
//! A page's head says how large it is when it is unpacked, up to 2 GB, and that much is allocated first. The head is a
//! structure of Thrift's compact protocol, whose first fields are the sizes.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use parquet::basic::Type;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{FileReader, SerializedFileReader};

use crate::border::file;
use crate::border::guard::guarded;
use crate::border::limits::{FIELDS, PAGE};
use crate::error::{Error, ErrorKind, Result};

/// Structures inside of each other in a page's head; the format has three.
const DEPTH: usize = 8;

/// Opens a .parquet file whose pages are within the limits.
///
/// # Errors
/// [`ErrorKind::File`] when it cannot be opened; [`ErrorKind::Data`] when it is no .parquet file, or declares more than the limits.
pub fn open(path: &Path) -> Result<SerializedFileReader<File>> {
    let file = file::open(path)?;
    let again = file.try_clone().map_err(|error| Error::file(path, error))?;
    let refuse = |reason: String| {
        Error::new(ErrorKind::Data, format!("`{}`: {reason}", path.display()))
            .hint("fetch the file again, or convert it to JSON lines and name that file")
            .in_file(path)
    };
    guarded(ErrorKind::Data, format_args!("`{}`", path.display()), || {
        let reader = SerializedFileReader::new(again).map_err(|error| refuse(error.to_string()).because(error))?;
        let columns = reader.metadata().file_metadata().schema_descr().num_columns();
        if columns > FIELDS {
            return Err(refuse(format!("it has {columns} columns; {FIELDS} are allowed")));
        }
        check(file, reader.metadata()).map_err(|error| refuse(error.to_string()).because(error))?;
        Ok(reader)
    })
}

fn wrong<T>(what: impl Into<String>) -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::InvalidData, what.into()))
}

/// Walks over the heads of all pages.
fn check(file: File, metadata: &ParquetMetaData) -> io::Result<()> {
    let size = file.metadata()?.len();
    let mut reader = BufReader::with_capacity(1 << 10, file);
    for column in metadata.row_groups().iter().flat_map(|group| group.columns()) {
        let start = column.dictionary_page_offset().filter(|offset| *offset > 0).unwrap_or(i64::MAX).min(column.data_page_offset());
        let (Ok(start), Ok(length)) = (u64::try_from(start), u64::try_from(column.compressed_size())) else {
            return wrong("a column begins before the file, or has less than no bytes");
        };
        let Some(end) = start.checked_add(length).filter(|end| *end <= size) else {
            return wrong("a column ends behind the file");
        };
        let least = match column.column_type() {
            Type::INT64 | Type::DOUBLE => 8,
            Type::INT96 => 12,
            Type::BOOLEAN => 1,
            Type::FIXED_LEN_BYTE_ARRAY => i64::from(column.column_descr().type_length()).max(1),
            // The length of a text takes four.
            Type::INT32 | Type::FLOAT | Type::BYTE_ARRAY => 4,
        };
        let mut place = start;
        while place < end {
            reader.seek(SeekFrom::Start(place))?;
            let mut head = Head { reader: &mut reader, left: end - place, inside: 0, sizes: [0; 2], words: 0 };
            head.structure(0)?;
            let [unpacked, packed] = head.sizes;
            if !(0..=PAGE as i64).contains(&unpacked) || !(0..=PAGE as i64).contains(&packed) {
                return wrong(format!("a page declares {unpacked} bytes, {packed} packed; {PAGE} are allowed"));
            }
            // A word of a dictionary takes as many bytes at least, and more in memory.
            if !(0..=unpacked / least).contains(&head.words) {
                return wrong(format!("a dictionary declares {} words in {unpacked} bytes", head.words));
            }
            place = reader.stream_position()? + packed as u64;
        }
    }
    Ok(())
}

struct Head<'a> {
    reader: &'a mut BufReader<File>,
    /// Bytes of the column that are left: going past the end of a file is no error to a reader.
    left: u64,
    /// The field of the head that is being read.
    inside: i64,
    /// Unpacked and packed bytes: the second and third field.
    sizes: [i64; 2],
    /// Of a dictionary: the first field of the seventh.
    words: i64,
}

impl Head<'_> {
    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.reader.read_exact(&mut byte)?;
        self.take(1)?;
        Ok(byte[0])
    }

    fn take(&mut self, bytes: u64) -> io::Result<()> {
        match self.left.checked_sub(bytes) {
            Some(left) => self.left = left,
            None => return wrong("the head of a page is damaged"),
        }
        Ok(())
    }

    fn number(&mut self) -> io::Result<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 127) << shift;
            if byte < 128 {
                return Ok(number);
            }
        }
        wrong("the head of a page is damaged")
    }

    fn signed(&mut self) -> io::Result<i64> {
        self.number().map(|number| (number >> 1) as i64 ^ -((number & 1) as i64))
    }

    fn structure(&mut self, depth: usize) -> io::Result<()> {
        let mut field = 0i64;
        loop {
            let byte = self.byte()?;
            if byte == 0 {
                return Ok(());
            }
            field = match byte >> 4 {
                0 => self.signed()?,
                step => field + i64::from(step),
            };
            match (depth, field, byte & 15) {
                (0, 2 | 3, 4..=6) => self.sizes[field as usize - 2] = self.signed()?,
                (1, 1, 4..=6) if self.inside == 7 => self.words = self.signed()?,
                (_, _, 1 | 2) => {}
                (_, _, kind) => {
                    self.inside = if depth == 0 { field } else { self.inside };
                    self.value(kind, depth)?;
                }
            }
        }
    }

    fn value(&mut self, kind: u8, depth: usize) -> io::Result<()> {
        match kind {
            _ if depth > DEPTH => wrong("the head of a page is damaged"),
            1..=3 => self.byte().map(drop),
            4..=6 => self.number().map(drop),
            7 => self.skip(8),
            8 => {
                let length = self.number()?;
                self.skip(length)
            }
            9 | 10 => {
                let head = self.byte()?;
                let count = if head >> 4 == 15 { self.number()? } else { u64::from(head >> 4) };
                (0..count).try_for_each(|_| self.value(head & 15, depth + 1))
            }
            12 => self.structure(depth + 1),
            _ => wrong("the head of a page is damaged"),
        }
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        self.take(bytes)?;
        self.reader.seek_relative(bytes as i64)
    }
}
