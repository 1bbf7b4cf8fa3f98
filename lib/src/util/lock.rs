//! An output folder → the right to write into it, which one process has at a time and loses when it ends, even by kill −9.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};

/// The file's name; it stays when the lock goes.
const FILE: &str = ".lock";

/// The right to write into a folder, until it is dropped.
#[derive(Debug)]
pub struct FolderLock {
    file: File,
}

impl FolderLock {
    /// Makes the folder and takes the right; refused while another training has it.
    ///
    /// # Errors
    /// [`ErrorKind::Training`] while another process has it; [`ErrorKind::File`] when the folder cannot be written.
    pub fn take(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let fail = |error| Error::file(&path, error);
        std::fs::create_dir_all(folder).map_err(|error| Error::file(folder, error))?;
        let mut file = File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(fail)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                let _ = file.read_to_string(&mut owner);
                return Err(Error::new(
                    ErrorKind::Training,
                    format!("`{}` is in use by the training of process {}", folder.display(), owner.trim()),
                )
                .hint("wait for it, stop it, or choose another output_dir"));
            }
            Err(TryLockError::Error(error)) => return Err(fail(error)),
        }
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(fail)?;
        Ok(Self { file })
    }
}

impl Drop for FolderLock {
    /// Closing the file is not enough: a process that is being started still has a copy of it until its program runs.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::FolderLock;

    #[test]
    fn a_copy_of_the_file_does_not_keep_the_right() {
        let folder = tempfile::tempdir().unwrap();
        let held = FolderLock::take(folder.path()).unwrap();
        let copy = held.file.try_clone().unwrap();
        FolderLock::take(folder.path()).unwrap_err();
        drop(held);
        FolderLock::take(folder.path()).unwrap();
        drop(copy);
    }
}
