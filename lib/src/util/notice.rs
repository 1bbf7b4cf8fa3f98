//! What a user should know though nothing failed → a tracing event where the program listens to those, else a line on stderr;
//! in a notebook, which draws stderr as if something had failed, what goes on as it should is a line on stdout.

use std::fmt::Display;

use crate::util::host::in_our_kernel;

/// Something is not as the user may think it is.
pub(crate) fn warn(text: impl Display) {
    if tracing::dispatcher::has_been_set() {
        tracing::warn!("{text}");
    } else {
        eprintln!("{text}");
    }
}

/// Something goes on as it should.
pub(crate) fn info(text: impl Display) {
    if tracing::dispatcher::has_been_set() {
        tracing::info!("{text}");
    } else if in_our_kernel() {
        println!("{text}");
    } else {
        eprintln!("{text}");
    }
}
