//! A request to stop the running cell → an error that ends the loop and keeps every variable.
//!
//! The kernel names a flag file in `FINETUNING_INTERRUPT` and creates it when the user interrupts; every long loop of
//! this crate calls [`check`] once a turn. Outside the kernel the variable is absent and the check costs nothing.

use std::path::PathBuf;
use std::sync::OnceLock;

use crate::error::{Error, Result};

/// Stops with [`crate::ErrorKind::Interrupted`] when an interrupt was asked for; `place` says where the loop was.
pub fn check(place: impl std::fmt::Display) -> Result<()> {
    static FLAG: OnceLock<Option<PathBuf>> = OnceLock::new();
    let flag = FLAG.get_or_init(|| std::env::var_os("FINETUNING_INTERRUPT").map(PathBuf::from));
    match flag {
        Some(path) if path.exists() => Err(Error::interrupted(place)),
        _ => Ok(()),
    }
}
