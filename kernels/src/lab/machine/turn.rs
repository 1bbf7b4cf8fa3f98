//! The folder `.lab` → the right to set up in it, which one process has at a time and loses when it ends.

use std::fs::{File, TryLockError};
use std::path::Path;

use crate::lab::machine::steps::say;

/// The right to set up, until it is dropped.
#[derive(Debug)]
pub struct Turn {
    /// None on a file system without locks.
    _file: Option<File>,
}

impl Turn {
    /// Waits, and says so, while another set-up works in the folder.
    pub fn wait(lab: &Path) -> Turn {
        let file = File::options().write(true).create(true).truncate(false).open(lab.join("setup.lock")).ok();
        let locked = file.filter(|file| match file.try_lock() {
            Ok(()) => true,
            Err(TryLockError::Error(_)) => false,
            Err(TryLockError::WouldBlock) => {
                say(&format!("another set-up works in {}: waiting for its end", lab.display()));
                file.lock().is_ok()
            }
        });
        Turn { _file: locked }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::Turn;

    #[test]
    fn the_second_waits_for_the_end_of_the_first() {
        let (folder, done) = (tempfile::tempdir().unwrap(), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            let first = Turn::wait(folder.path());
            scope.spawn(|| {
                let _second = Turn::wait(folder.path());
                done.lock().unwrap().push("second");
            });
            std::thread::sleep(Duration::from_millis(100));
            done.lock().unwrap().push("first");
            drop(first);
        });
        assert_eq!(*done.lock().unwrap(), ["first", "second"]);
    }
}
