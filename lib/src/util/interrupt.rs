//! A request to stop the running cell → an error that ends the loop and keeps every variable.
//!
//! The kernel names a flag file in `FINETUNING_INTERRUPT` and creates it when the user interrupts; every long loop of
//! this crate calls [`check`] once a turn. Each call also leaves a sign of life, the time of change of the file named in
//! `FINETUNING_HEARTBEAT`, so that the kernel waits for a slow turn instead of ending the process with its variables.
//! Outside the kernel both variables are absent and the check costs nothing.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use crate::error::{Error, Result};

/// How often a sign of life is written at most, in milliseconds.
const BEAT: u64 = 200;

/// The files of the kernel.
struct Kernel {
    flag: PathBuf,
    heartbeat: Option<PathBuf>,
    start: Instant,
    /// Milliseconds after `start` from which the next sign of life is due.
    due: AtomicU64,
}

/// Stops with [`crate::ErrorKind::Interrupted`] when an interrupt was asked for; `place` says where the loop was.
///
/// # Errors
/// [`crate::ErrorKind::Interrupted`] when it was.
pub fn check(place: impl std::fmt::Display) -> Result<()> {
    static KERNEL: OnceLock<Option<Kernel>> = OnceLock::new();
    let file = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let kernel = KERNEL.get_or_init(|| {
        let heartbeat = file("FINETUNING_HEARTBEAT");
        Some(Kernel { flag: file("FINETUNING_INTERRUPT")?, heartbeat, start: Instant::now(), due: AtomicU64::new(0) })
    });
    let Some(kernel) = kernel else { return Ok(()) };
    kernel.beat();
    if kernel.flag.exists() { Err(Error::interrupted(place)) } else { Ok(()) }
}

impl Kernel {
    fn beat(&self) {
        let now = self.start.elapsed().as_millis() as u64;
        let Some(path) = self.heartbeat.as_ref().filter(|_| now >= self.due.load(Ordering::Relaxed)) else { return };
        self.due.store(now + BEAT, Ordering::Relaxed);
        // A disk that is full must not stop a training run; the kernel is then less patient.
        let file = std::fs::File::options().create(true).append(true).open(path);
        let _ = file.and_then(|file| file.set_modified(SystemTime::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_of_life_is_left_again_after_a_while_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("beat");
        let kernel = Kernel { flag: PathBuf::new(), heartbeat: Some(path.clone()), start: Instant::now(), due: AtomicU64::new(0) };
        kernel.beat();
        std::fs::remove_file(&path).unwrap();
        kernel.beat();
        assert!(!path.exists());
        std::thread::sleep(std::time::Duration::from_millis(BEAT + 20));
        kernel.beat();
        assert!(path.exists());
    }
}
