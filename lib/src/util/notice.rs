//! What a user should know though nothing failed → a tracing event where the program listens to those, else a line on stderr;
//! in a notebook, which draws stderr as if something had failed, what goes on as it should is a line on stdout.

use std::fmt::Display;

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
    } else if std::env::var_os("FINETUNING_KERNEL").is_some() {
        println!("{text}");
    } else {
        eprintln!("{text}");
    }
}
