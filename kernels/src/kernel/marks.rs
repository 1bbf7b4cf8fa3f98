//! The secrets of a session: what the kernel's own parts know and printed text does not, so that no text is taken for a mark.
//!
//! Drawn with the session, they stand in a file of its private folder, from which all parts read them: the supervisor, the
//! runner, the support library and the companion. The environment only names the file.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Begins a record, one line of JSON; what the cells write has the secret behind it.
pub const RECORD: &str = "\x02K";
/// The first word of evcxr's content block.
pub const BEGIN: &str = "EVCXR_BEGIN_CONTENT";

/// Names the file with the secrets, in the environment of the cells; the secrets themselves are in nobody's environment.
pub const MARKS: &str = "FINETUNING_MARKS";

/// The secrets of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marks {
    /// Stands in every mark.
    secret: String,
    /// Stands for [`BEGIN`] in the code of a cell; as long, so that no column moves.
    word: String,
    begun: PathBuf,
}

impl Marks {
    /// Draws the secrets and writes them into a new file that only this user can read.
    ///
    /// # Errors
    /// The machine has no random numbers, or the file cannot be written.
    pub fn create(file: &Path) -> std::io::Result<()> {
        let mut bytes = [0; 32];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let (secret, word) = (&hex[..32], &hex[hex.len() - BEGIN.len()..]);
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(file)?;
        file.write_all(format!("{secret} {word}\n").as_bytes())
    }

    /// Reads the secrets from the file that the environment names.
    ///
    /// # Errors
    /// There is no such file, or it holds something else.
    pub fn of_environment() -> Result<Marks, String> {
        let file = std::env::var_os(MARKS).ok_or_else(|| format!("{MARKS} names no file"))?;
        Marks::read(Path::new(&file))
    }

    /// Reads the secrets.
    ///
    /// # Errors
    /// There is no such file, or it holds something else.
    pub fn read(file: &Path) -> Result<Marks, String> {
        let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
        match text.split_whitespace().collect::<Vec<_>>()[..] {
            [secret, word] if secret.len() == 32 && word.len() == BEGIN.len() => {
                Ok(Marks { secret: secret.into(), word: word.into(), begun: file.with_extension("begun") })
            }
            _ => Err(format!("{}: no secrets of a session", file.display())),
        }
    }

    /// The text that [`Marks::cell`] was given.
    pub fn of_cell(&self, code: &str) -> String {
        code.replace(&self.word, BEGIN)
    }

    /// From now on, what runs is the user's: only marks count.
    ///
    /// # Errors
    /// The folder of the session is gone or full.
    pub fn begin(&self) -> std::io::Result<()> {
        File::create(&self.begun).map(drop)
    }

    /// The file that is there from [`Marks::begin`] on.
    pub fn begun(&self) -> &Path {
        &self.begun
    }

    /// The secret word that begins a content block of a cell.
    pub fn word(&self) -> &str {
        &self.word
    }

    /// What stands before that which a mark says.
    pub fn prefix(&self) -> String {
        format!("{RECORD}{}", self.secret)
    }

    /// Code that the kernel itself adds, with the secret in its place.
    pub fn prelude(&self, code: &str) -> String {
        code.replace("SECRET", &self.secret)
    }

    /// The code of a cell, whose own content blocks count.
    pub fn cell(&self, code: &str) -> String {
        code.replace(BEGIN, &self.word)
    }

    /// Secrets that a test can name.
    #[cfg(test)]
    pub fn for_tests() -> Marks {
        Marks { secret: "0123456789abcdef0123456789abcdef".into(), word: "f00dfacef00dfacef00".into(), begun: "/".into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_drawn_anew_and_only_this_user_reads_them() {
        let home = tempfile::tempdir().unwrap();
        let files = ["a", "b"].map(|name| home.path().join(name));
        let drawn = files.each_ref().map(|file| Marks::create(file).map(|()| Marks::read(file).unwrap()).unwrap());
        assert!(drawn[0].secret != drawn[1].secret && drawn[0].word != drawn[1].word);
        assert_eq!(std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&files[0]).unwrap()) & 0o777, 0o600);
        assert!(Marks::create(&files[0]).is_err());
        std::fs::write(&files[0], "short\n").unwrap();
        assert!(Marks::read(&files[0]).unwrap_err().ends_with("no secrets of a session"));
    }
}
