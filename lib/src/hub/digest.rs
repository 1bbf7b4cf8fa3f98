//! Bytes → the name that the hub gives a content: SHA-256 for large files, git's SHA-1 for small ones.

use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::util::interrupt;

/// A checksum in the making.
pub(crate) enum Checksum {
    Sha256(Sha256),
    Git(sha1_smol::Sha1),
    /// The server's tag is no checksum.
    None,
}

impl Checksum {
    /// The checksum that a tag stands for, of a file of `size` bytes.
    pub(crate) fn of_tag(tag: &str, size: u64) -> Self {
        match tag.len() {
            _ if !tag.bytes().all(|byte| byte.is_ascii_hexdigit()) => Checksum::None,
            64 => Checksum::Sha256(Sha256::new()),
            40 => Checksum::Git(sha1_smol::Sha1::from(format!("blob {size}\0"))),
            _ => Checksum::None,
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Checksum::Sha256(hash) => hash.update(bytes),
            Checksum::Git(hash) => hash.update(bytes),
            Checksum::None => {}
        }
    }

    /// The checksum as text; nothing where the tag was none.
    pub(crate) fn text(self) -> Option<String> {
        match self {
            Checksum::Sha256(hash) => Some(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            Checksum::Git(hash) => Some(hash.digest().to_string()),
            Checksum::None => None,
        }
    }

    /// Takes in a whole file.
    pub(crate) fn read(&mut self, path: &Path) -> Result<()> {
        let fail = |error| Error::file(path, error);
        let mut file = std::fs::File::open(path).map_err(fail)?;
        let mut buffer = vec![0; 1 << 20];
        loop {
            interrupt::check(format_args!("while checking `{}`", path.display()))?;
            match file.read(&mut buffer).map_err(fail)? {
                0 => return Ok(()),
                read => self.update(&buffer[..read]),
            }
        }
    }
}

/// The SHA-256 of a file.
pub(crate) fn sha256(path: &Path) -> Result<String> {
    let mut checksum = Checksum::Sha256(Sha256::new());
    checksum.read(path)?;
    Ok(checksum.text().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_sha256sum_and_git_hash_object() {
        let of = |tag: String, text: &str| {
            let mut checksum = Checksum::of_tag(&tag, text.len() as u64);
            checksum.update(text.as_bytes());
            checksum.text()
        };
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(of("0".repeat(64), "abc").as_deref(), Some(sha256));
        assert_eq!(of("0".repeat(40), "test content\n").as_deref(), Some("d670460b4b4aece5915caf5c68d12f560a9fe3e4"));
        assert_eq!(of("W/\"5\"".to_string(), "abc"), None);
    }
}
