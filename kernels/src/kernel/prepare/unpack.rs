//! The source of std that this program carries, an archive → files, for type inference.

use std::path::{Component, Path, PathBuf};

use crate::kernel::prepare::fresh;

static STD_SOURCE: &[u8] = include_bytes!("../../../assets/std-src.tar.gz");

/// The folder with the source of std, whether or not it is unpacked yet.
pub fn std_source(root: &Path) -> PathBuf {
    root.join(".lab").join(format!("std-src-{:08x}", checksum(STD_SOURCE)))
}

/// Unpacks the source of std, once.
///
/// # Errors
/// The repository cannot be written to.
pub fn unpack_std_source(root: &Path) -> Result<(), String> {
    fresh::once(&std_source(root), |folder| tar_gz(STD_SOURCE, folder))
}

/// Unpacks an archive of plain files with short names, as `assets/make-std-src.sh` writes it.
fn tar_gz(archive: &[u8], folder: &Path) -> Result<(), String> {
    // A gzip header without optional fields has ten bytes.
    let body = archive.get(10..).filter(|_| archive.starts_with(&[0x1f, 0x8b, 8, 0])).ok_or("not a plain gzip file")?;
    let tar = miniz_oxide::inflate::decompress_to_vec(body).map_err(|error| format!("the archive is damaged: {error}"))?;
    let mut rest = &tar[..];
    while let Some(header) = rest.get(..512).filter(|header| header[0] != 0) {
        let text = |range: std::ops::Range<usize>| String::from_utf8_lossy(&header[range]).trim_end_matches('\0').trim().to_string();
        let size = usize::from_str_radix(&text(124..136), 8).map_err(|_| "the archive has a file without a size")?;
        let (prefix, name) = (text(345..500), text(0..100));
        let path = Path::new(&prefix).join(name);
        if path.components().any(|part| !matches!(part, Component::Normal(_))) {
            return Err(format!("the archive holds the path {}", path.display()));
        }
        let data = rest.get(512..512 + size).ok_or("the archive is cut short")?;
        if header[156] == b'0' {
            let path = folder.join(path);
            let write = std::fs::create_dir_all(path.parent().unwrap_or(folder)).and_then(|()| std::fs::write(&path, data));
            write.map_err(|error| format!("{}: {error}", path.display()))?;
        }
        rest = rest.get(512 + size.div_ceil(512) * 512..).unwrap_or_default();
    }
    Ok(())
}

/// A checksum (FNV-1a) that names files by their content; no protection against intent.
pub fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_of_std_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        tar_gz(STD_SOURCE, folder.path()).unwrap();
        for (file, text) in [
            ("core/src/option.rs", "pub enum Option<T>"),
            ("alloc/src/vec/mod.rs", "pub struct Vec<T"),
            ("std/src/lib.rs", "pub mod collections"),
        ] {
            assert!(std::fs::read_to_string(folder.path().join(file)).unwrap().contains(text), "{file}");
        }
    }
}
