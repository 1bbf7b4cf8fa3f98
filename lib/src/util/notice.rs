//! What a user should know though nothing failed → a tracing event where the program listens to those, a line on stderr
//! where it does not.

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
    } else {
        eprintln!("{text}");
    }
}
