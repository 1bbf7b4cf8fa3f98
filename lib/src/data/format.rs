//! The name and the first bytes of a file → how its rows are written, or what to type instead.

use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::util::notice;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// One JSON object a line: `.jsonl`, `.ndjson`.
    Jsonl,
    /// A list of objects, an object with one list of objects, an object of columns, or one object: `.json`.
    Json,
    /// A header and a row a line, with commas (or semicolons, where the header has no comma): `.csv`.
    Csv,
    /// The same with tabs: `.tsv`.
    Tsv,
    /// `.parquet`, of all codecs.
    Parquet,
    /// A sheet of an Excel file, whose first row names the columns: `.xlsx`, `.xlsm`.
    Excel,
    /// Plain text, a row a line with the one field `text`: `.txt`, `.md`.
    Text,
}

/// How the bytes of a file are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    Gzip,
    Zstandard,
}

impl Packing {
    pub(crate) fn name(self) -> &'static str {
        if self == Packing::Gzip { "gzip" } else { "Zstandard" }
    }

    /// By the first bytes.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        let skippable = |bytes: &[u8]| bytes.len() >= 4 && bytes[0] & 0xf0 == 0x50 && bytes[1..4] == [0x2a, 0x4d, 0x18];
        match bytes {
            [0x1f, 0x8b, ..] => Some(Packing::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Packing::Zstandard),
            bytes if skippable(bytes) => Some(Packing::Zstandard),
            _ => None,
        }
    }

    fn of_suffix(suffix: &str) -> Option<Self> {
        match suffix {
            "gz" | "gzip" => Some(Packing::Gzip),
            "zst" | "zstd" => Some(Packing::Zstandard),
            _ => None,
        }
    }
}

/// What no reader here reads: (first bytes, suffixes, what it is, what to do).
type Other = (&'static [&'static [u8]], &'static [&'static str], &'static str, &'static str);
const OTHERS: [Other; 15] = [
    (&[], &["ods", "xlsb"], "a spreadsheet", "save the sheet as .xlsx, or as CSV UTF-8, and load that file"),
    (&[], &["docx", "odt", "rtf"], "a text document", "convert it: `pandoc FILE -t plain -o file.txt`"),
    (&[], &["pptx"], "slides", "export them as text, and load that file"),
    (&[], &["epub"], "a book", "convert it: `pandoc FILE -t plain -o file.txt`"),
    (&[b"PK\x03\x04", b"PK\x05\x06"], &["zip"], "a zip archive", "unpack it with `unzip` and load the folder"),
    (&[b"%PDF"], &["pdf"], "a PDF", "convert it: `pdftotext FILE file.txt`"),
    (
        &[b"\xd0\xcf\x11\xe0"],
        &["xls", "doc", "ppt"],
        "an old Office file",
        "save it as .xlsx, as CSV, or as plain text, and load that file",
    ),
    (&[b"7z\xbc\xaf\x27\x1c"], &["7z"], "a 7z archive", "unpack it with `7z x` and load the folder"),
    (&[b"Rar!"], &["rar"], "a RAR archive", "unpack it and load the folder"),
    (&[], &["tar", "tgz"], "a tar archive", "unpack it with `tar xf` and load the folder"),
    (&[b"BZh"], &["bz2"], "packed by bzip2", "unpack it with `bunzip2`, or pack it by gzip or Zstandard"),
    (&[b"\xfd7zXZ"], &["xz"], "packed by xz", "unpack it with `unxz`, or pack it by gzip or Zstandard"),
    (
        &[b"SQLite format 3"],
        &["db", "sqlite", "sqlite3"],
        "a database",
        "export the table: `sqlite3 -header -csv FILE 'select * from TABLE' > rows.csv`",
    ),
    (&[b"ARROW1"], &["arrow", "feather"], "an Arrow file", "in Python: `Dataset.from_file(FILE).to_json(\"rows.jsonl\")`"),
    (&[], &["pkl", "pickle", "pt", "bin"], "a Python pickle", "in Python write it by `to_json(…, orient=\"records\", lines=True)`"),
];

/// The suffixes of a name in lower case, the last first.
fn suffixes(path: &Path) -> Vec<String> {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    name.split_once('.').map_or(Vec::new(), |(_, rest)| rest.rsplit('.').map(String::from).collect())
}

fn of_suffix(suffix: &str) -> Option<Format> {
    Some(match suffix {
        "jsonl" | "ndjson" => Format::Jsonl,
        "json" => Format::Json,
        "csv" => Format::Csv,
        "tsv" | "tab" => Format::Tsv,
        "parquet" | "geoparquet" | "gpq" => Format::Parquet,
        "xlsx" | "xlsm" => Format::Excel,
        "txt" | "text" | "md" | "markdown" | "log" => Format::Text,
        _ => return None,
    })
}

/// The packing that a name announces.
pub(crate) fn packing_of_name(path: &Path) -> Option<Packing> {
    suffixes(path).first().and_then(|suffix| Packing::of_suffix(suffix))
}

/// The format that a name announces, under its packing.
fn of_name(path: &Path) -> Option<Format> {
    suffixes(path).iter().filter(|suffix| Packing::of_suffix(suffix).is_none()).find_map(|suffix| of_suffix(suffix))
}

/// Refuses what is no rows, by its first bytes, else by its name.
fn refuse(path: &Path, bytes: &[u8]) -> Result<()> {
    let all = suffixes(path);
    let last = all.iter().find(|suffix| Packing::of_suffix(suffix).is_none());
    let named = |other: &&Other| last.is_some_and(|suffix| other.1.contains(&suffix.as_str()));
    let begins = |other: &&Other| other.0.iter().any(|magic| bytes.starts_with(magic));
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).trim_start().to_lowercase();
    let other = match OTHERS.iter().find(begins) {
        // A zip archive may be what its name says: a spreadsheet, a document.
        Some(archive) => Some(OTHERS.iter().find(named).unwrap_or(archive)),
        None => OTHERS.iter().find(named).filter(|_| of_name(path).is_none()),
    };
    let (what, hint) = match other {
        Some((_, _, what, hint)) => (*what, hint.replace("FILE", &path.display().to_string())),
        None if text.starts_with("version https://git-lfs") => {
            ("a pointer of Git LFS, not the file itself", "fetch the file: `git lfs pull`".to_string())
        }
        None if (text.starts_with("<!doctype html") || text.starts_with("<html")) && of_name(path) != Some(Format::Text) => {
            ("a web page", "the download saved a page in place of the file: take the link of the raw file".to_string())
        }
        None => return Ok(()),
    };
    Err(Error::new(
        ErrorKind::Data,
        format!("`{}` is {what}; rows are read from .jsonl, .json, .csv, .tsv, .parquet, .xlsx and .txt", path.display()),
    )
    .hint(hint)
    .in_file(path))
}

/// The format of a file by its name and its first bytes, unpacked and as UTF-8. What the caller wants counts alone; where the
/// name says something else than the content, the content counts, aloud.
///
/// # Errors
/// [`ErrorKind::Data`] when it is nothing that has rows.
pub(crate) fn detect(path: &Path, bytes: &[u8], wanted: Option<Format>) -> Result<Format> {
    if bytes.starts_with(b"PAR1") {
        if !matches!(wanted.or(of_name(path)), Some(Format::Parquet)) {
            notice::warn(format_args!("`{}` is a .parquet file by its content, and is read as one", path.display()));
        }
        return Ok(Format::Parquet);
    }
    if bytes.starts_with(b"PK\x03\x04") && wanted.or(of_name(path)) == Some(Format::Excel) {
        return Ok(Format::Excel);
    }
    refuse(path, bytes)?;
    if let Some(format) = wanted {
        return Ok(format);
    }
    let named = of_name(path);
    let content = content(bytes);
    let said = |format: Format, what: &str| {
        notice::warn(format_args!(
            "`{}` holds {what}, whatever its name says, and is read as that; `DataOptions::with_format` overrules it",
            path.display()
        ));
        Ok(format)
    };
    match (named, content) {
        // A first line that is cut off is a bad line.
        (Some(Format::Jsonl), Some(Format::Json)) if over_lines(bytes) => said(Format::Json, "one JSON value"),
        (Some(Format::Csv | Format::Tsv | Format::Parquet), Some(Format::Jsonl)) => said(Format::Jsonl, "a JSON object a line"),
        (Some(Format::Csv | Format::Tsv | Format::Parquet), Some(Format::Json)) => said(Format::Json, "JSON"),
        (Some(Format::Text), Some(Format::Jsonl)) => {
            notice::warn(format_args!(
                "`{}` is read as text, a row a line, though its lines are JSON objects: `DataOptions::with_format(Format::Jsonl)` reads those",
                path.display()
            ));
            Ok(Format::Text)
        }
        (Some(format), _) => Ok(format),
        (None, Some(format)) => said(format, "JSON"),
        (None, None) => Err(Error::new(
            ErrorKind::Data,
            format!("`{}`: neither the name nor the content tells how its rows are written", path.display()),
        )
        .hint("name it .jsonl, .json, .csv, .tsv, .parquet, .xlsx or .txt, or say it by `DataOptions::with_format`")
        .in_file(path)),
    }
}

/// Whether the text is a list, or an object with a line of its own for its brace.
fn over_lines(bytes: &[u8]) -> bool {
    let text = bytes.trim_ascii_start();
    let first_line = text.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_end();
    text.starts_with(b"[") || first_line == b"{"
}

/// JSON by its first characters: a list, or an object a line.
fn content(bytes: &[u8]) -> Option<Format> {
    let text = bytes.trim_ascii_start();
    let first_line = text.split(|byte| *byte == b'\n' || *byte == b'\r').next().unwrap_or_default().trim_ascii_end();
    let second = text[first_line.len()..].trim_ascii_start().first();
    match text.first() {
        // `[1]` a line is a list each: no rows, but lines.
        Some(b'[') if first_line.ends_with(b"]") && second == Some(&b'[') => None,
        Some(b'[') if text[1..].trim_ascii_start().first().is_some_and(|byte| b"{\"[]".contains(byte)) => Some(Format::Json),
        Some(b'{') if text[1..].trim_ascii_start().first().is_some_and(|byte| b"\"}".contains(byte)) => {
            let one_line = first_line.ends_with(b"}") && second.is_none_or(|byte| *byte == b'{');
            let long = first_line.len() == text.len() && !first_line.ends_with(b"}");
            Some(if one_line || long { Format::Jsonl } else { Format::Json })
        }
        _ => None,
    }
}
