//! A folder → its Markdown, HTML and text files, in the order of their names; other kinds are named, not read.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::border::file;
use crate::border::limits::{DOCUMENT, DOCUMENT_FOLDERS, DOCUMENTS};
use crate::error::{Error, ErrorKind, Result};

/// How a document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// `.md`, `.markdown`.
    Markdown,
    /// `.html`, `.htm`.
    Html,
    /// `.txt`.
    Text,
}

/// A file's text.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Document {
    /// Its path inside of the folder, with `/`.
    pub source_file: String,
    /// How it is written, by its suffix.
    pub format: Format,
    /// Its text, with `\n` at the ends of lines.
    pub text: String,
}

/// What a folder holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Documents {
    /// The documents, by path.
    pub documents: Vec<Document>,
    /// Files of other kinds, by path.
    pub other_files: Vec<String>,
}

impl Documents {
    /// Reads a folder with the folders in it, or a single file; hidden files and links are left out.
    ///
    /// # Errors
    /// [`ErrorKind::File`] when it cannot be read; [`ErrorKind::Data`] when no document is in it, a file is no UTF-8, larger
    /// than [`DOCUMENT`], or there are more than [`DOCUMENTS`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let mut files = Vec::new();
        let kind = fs::metadata(path).map_err(|error| Error::file(path, error))?;
        if kind.is_dir() {
            collect(path, 0, &mut files)?
        } else {
            files.push(path.to_path_buf())
        }
        files.sort();
        let base = if kind.is_dir() { path } else { path.parent().unwrap_or(path) };
        let mut found = Self::default();
        for file in files {
            let inner = file.strip_prefix(base).unwrap_or(&file);
            let name = inner.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/");
            match format_of(&file) {
                Some(format) => found.documents.push(Document { source_file: name, format, text: text(&file)? }),
                None => found.other_files.push(name),
            }
        }
        if found.documents.is_empty() {
            let others = found.other_files.iter().take(3).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            let beside = if others.is_empty() { String::new() } else { format!(", only {others}") };
            return Err(Error::new(ErrorKind::Data, format!("`{}` holds no .md, .html or .txt file{beside}", path.display()))
                .in_file(path)
                .hint("convert other files first: `pdftotext FILE.pdf`, `pandoc FILE.docx -o FILE.md`"));
        }
        Ok(found)
    }
}

fn format_of(path: &Path) -> Option<Format> {
    match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "md" | "markdown" => Some(Format::Markdown),
        "html" | "htm" => Some(Format::Html),
        "txt" => Some(Format::Text),
        _ => None,
    }
}

fn collect(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<()> {
    if depth > DOCUMENT_FOLDERS {
        return Err(Error::new(ErrorKind::File, format!("`{}` is {depth} folders deep", folder.display()))
            .in_file(folder)
            .hint(format!("at most {DOCUMENT_FOLDERS} are read; name a folder further inside")));
    }
    for entry in fs::read_dir(folder).map_err(|error| Error::file(folder, error))? {
        let entry = entry.map_err(|error| Error::file(folder, error))?;
        let kind = entry.file_type().map_err(|error| Error::file(&entry.path(), error))?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if kind.is_dir() {
            collect(&entry.path(), depth + 1, files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
        if files.len() > DOCUMENTS {
            return Err(Error::new(ErrorKind::File, format!("more than {DOCUMENTS} files"))
                .in_file(folder)
                .hint("name a folder further inside"));
        }
    }
    Ok(())
}

/// A file's text without a byte order mark, each end of a line as `\n`.
fn text(path: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    let file = file::open(path)?;
    file.take(DOCUMENT.bytes + 1).read_to_end(&mut bytes).map_err(|error| Error::file(path, error))?;
    if bytes.len() as u64 > DOCUMENT.bytes {
        let message = format!("`{}` is larger than {} MB", path.display(), DOCUMENT.bytes >> 20);
        return Err(Error::new(ErrorKind::Data, message).in_file(path).hint("split the file, or leave it out of the folder"));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Error::new(ErrorKind::Data, format!("`{}` is no UTF-8 text from byte {at} on", path.display()))
            .in_file(path)
            .hint("save it as UTF-8: `iconv -f latin1 -t utf-8 FILE`")
            .because(error)
    })?;
    Ok(text.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\r', "\n"))
}
