//! Work whose depth others choose → the same on a stack that it cannot overflow.
//!
//! An overflow ends the process, and no code can catch it. A value that a template nests in a loop is dropped and printed level
//! by level; [`limits::TEMPLATE_STEPS`](crate::border::limits::TEMPLATE_STEPS) bounds the levels, and this stack has room for them.

use std::thread::{Builder, scope};

use crate::error::{Error, ErrorKind, Result};
use crate::util::panic;

/// Bytes of the stack. The system gives memory to what is used of it alone.
const SIZE: usize = 512 << 20;

/// Runs `work` on a thread of its own and waits for it.
///
/// # Errors
/// Those of `work`, its panic as an error of `kind`, and a system that gives no thread.
pub fn on_deep_stack<T: Send>(kind: ErrorKind, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let run = || panic::quietly(|| panic::caught(kind, work));
    scope(|threads| match Builder::new().stack_size(SIZE).spawn_scoped(threads, run) {
        Ok(thread) => thread.join().unwrap_or_else(|payload| Err(panic::error(kind, payload.as_ref()))),
        Err(error) => Err(Error::new(kind, format!("the system gives no thread with a stack of {} MB: {error}", SIZE >> 20))
            .hint("raise the limits of memory and threads (`ulimit -a`)")
            .because(error)),
    })
}
