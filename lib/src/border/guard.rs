//! The code of others on bytes of others → its result; a panic in it is our error, with the message, the place and the file.

use std::fmt::Display;

use crate::error::{Error, ErrorKind, Result};
use crate::util::panic;

/// Runs what a library does with what another program wrote; `what` is that, such as `` `a/tokenizer.json` ``.
///
/// # Errors
/// Those of `work`; for a panic an error of `kind` that says what the panic says.
pub fn guarded<T>(kind: ErrorKind, what: impl Display, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let mut result = None;
    let ended = panic::quietly(|| {
        panic::caught(kind, || {
            result = Some(work());
            Ok(())
        })
    });
    match (result, ended) {
        (Some(result), _) => result,
        (None, Err(fault)) => {
            Err(Error::new(kind, format!("{what}: damaged, or of a kind that its reader does not know: {}", fault.message()))
                .hint("fetch or write it again; if it stays, report this message with the file")
                .because(fault))
        }
        (None, Ok(())) => Err(Error::new(kind, format!("{what}: its reader gave nothing back"))),
    }
}
