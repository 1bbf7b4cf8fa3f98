//! Parts, each with a name → one zip file, whole or not at all, with a line of progress.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::kernel::prepare::fresh;
use crate::lab::failure::Failure;
use crate::system::machine;

/// The most that an archive may hold.
pub const LIMIT: u64 = 4_000_000_000;

/// What a part is made of.
#[derive(Debug, Clone)]
pub enum Content {
    File(PathBuf),
    Bytes(Vec<u8>),
}

/// A file of an archive.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its path in the archive, with `/`.
    pub name: String,
    pub content: Content,
    /// Whether it is a program.
    pub runs: bool,
}

impl Part {
    /// A file of this machine, a program if it is one here.
    pub fn file(name: impl Into<String>, path: impl Into<PathBuf>) -> Part {
        use std::os::unix::fs::PermissionsExt;
        let path = path.into();
        let runs = std::fs::metadata(&path).is_ok_and(|about| about.permissions().mode() & 0o100 != 0);
        Part { name: name.into(), content: Content::File(path), runs }
    }

    /// A text.
    pub fn text(name: impl Into<String>, text: impl Into<Vec<u8>>) -> Part {
        Part { name: name.into(), content: Content::Bytes(text.into()), runs: false }
    }

    fn size(&self) -> u64 {
        match &self.content {
            Content::File(path) => std::fs::metadata(path).map_or(0, |about| about.len()),
            Content::Bytes(bytes) => bytes.len() as u64,
        }
    }
}

/// A part that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    pub name: String,
    pub size: u64,
    pub sha256: [u8; 32],
}

/// Writes the parts, and what `last` makes of their checksums; the number of bytes of the archive.
///
/// # Errors
/// The parts are too large, the disk has no room for them, or a file cannot be read or written.
pub fn write(file: &Path, parts: &[Part], last: impl FnOnce(&[Written]) -> Vec<Part>) -> Result<u64, Failure> {
    let failed = |error: io::Error| Failure::from(format!("{}: {error}", file.display()));
    let total: u64 = parts.iter().map(Part::size).sum();
    if total > LIMIT {
        return Err(format!("{:.1} GB would go into the archive, and it holds {} GB", total as f64 / 1e9, LIMIT / 1_000_000_000).into());
    }
    let folder = std::path::absolute(file).map_err(failed)?.parent().unwrap_or(Path::new("/")).to_path_buf();
    std::fs::create_dir_all(&folder).map_err(failed)?;
    if let Some(free) = machine::free_disk(&folder).filter(|free| *free < total) {
        let what =
            format!("{} has {:.1} GB free, and the archive may need {:.1} GB", folder.display(), free as f64 / 1e9, total as f64 / 1e9);
        return Err(Failure::new(what, "df -h, then name a file on another disk"));
    }
    let fresh = fresh::beside(&folder.join("archive")).map_err(failed)?;
    let made = fresh.path().join("archive");
    let mut zip = ZipWriter::new(File::create(&made).map_err(failed)?);
    let (mut written, mut done) = (Vec::new(), 0);
    let shows = io::stderr().is_terminal();
    for part in parts {
        written.push(add(&mut zip, part).map_err(|error| Failure::from(format!("{}: {error}", part.name)))?);
        done += part.size();
        if shows {
            eprint!("\r... {:3} % of {:.0} MB ", done * 100 / total.max(1), total as f64 / 1e6);
        }
    }
    for part in last(&written) {
        add(&mut zip, &part).map_err(|error| Failure::from(format!("{}: {error}", part.name)))?;
    }
    if shows {
        eprint!("\r{:40}\r", "");
    }
    zip.finish().and_then(|mut file| Ok(file.flush()?)).map_err(|error| Failure::from(format!("{}: {error}", file.display())))?;
    std::fs::rename(&made, file).map_err(failed)?;
    Ok(std::fs::metadata(file).map_err(failed)?.len())
}

/// Adds a part.
fn add(zip: &mut ZipWriter<File>, part: &Part) -> io::Result<Written> {
    // What is compressed already takes its time and gains nothing.
    let packed = [".whl", ".gguf", ".safetensors", ".gz", ".png", ".zip"].iter().any(|end| part.name.ends_with(end));
    let method = if packed { CompressionMethod::Stored } else { CompressionMethod::Deflated };
    let options = SimpleFileOptions::default().compression_method(method).unix_permissions(if part.runs { 0o755 } else { 0o644 });
    zip.start_file(part.name.as_str(), options)?;
    let mut source: Box<dyn Read> = match &part.content {
        Content::File(path) => Box::new(File::open(path)?),
        Content::Bytes(bytes) => Box::new(bytes.as_slice()),
    };
    let (mut hash, mut piece, mut size) = (Sha256::new(), vec![0; 1 << 20], 0);
    loop {
        let read = source.read(&mut piece)?;
        if read == 0 {
            return Ok(Written { name: part.name.clone(), size, sha256: hash.finalize().into() });
        }
        hash.update(&piece[..read]);
        zip.write_all(&piece[..read])?;
        size += read as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_has_its_parts_with_their_checksums_or_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let (file, source) = (folder.path().join("a/b.zip"), folder.path().join("source"));
        std::fs::write(&source, "program").unwrap();
        let mut program = Part::file("bin/run", &source);
        program.runs = true;
        let parts = [program, Part::text("x.whl", "packed")];
        let mut seen = Vec::new();
        let size = write(&file, &parts, |written| {
            seen = written.to_vec();
            vec![Part::text("list", written[0].name.clone())]
        });
        assert_eq!(size.unwrap(), std::fs::metadata(&file).unwrap().len());
        assert_eq!(seen[0].sha256, <[u8; 32]>::from(Sha256::digest("program")));
        assert_eq!((seen[1].size, seen.len()), (6, 2));
        let script = "import sys, zipfile\nz = zipfile.ZipFile(sys.argv[1])\nassert z.testzip() is None\n\
            print([(i.filename, oct(i.external_attr >> 16 & 0o777), z.read(i).decode()) for i in z.infolist()])";
        let output = std::process::Command::new("python3").args(["-c", script]).arg(&file).output().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout).trim(),
            "[('bin/run', '0o755', 'program'), ('x.whl', '0o644', 'packed'), ('list', '0o644', 'bin/run')]"
        );
        let missing = [Part::text("a", "b"), Part::file("c", folder.path().join("none"))];
        let other = folder.path().join("a/c.zip");
        assert!(write(&other, &missing, |_| Vec::new()).is_err());
        let names: Vec<_> = std::fs::read_dir(folder.path().join("a")).unwrap().flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(names, ["b.zip"], "nothing half written is left");
    }
}
