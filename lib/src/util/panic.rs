//! Work of another thread that may panic → its result, or an error with the panic's message and place.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use crate::error::{Error, ErrorKind, Result};

thread_local! {
    /// The place of the panic that this thread is falling from: file, line and column. Written by the hook, read by [`caught`].
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `work`; where it panics, the error says what was being done, what the panic said, and where it stood.
///
/// Only the panic hook is told the place. The first call hence puts one in front of the hook that was there; it notes
/// the place and passes on, so that stderr shows what it always shows.
///
/// # Errors
/// An error of `kind` when `work` panics.
pub fn caught<T>(kind: ErrorKind, doing: &str, work: impl FnOnce() -> T) -> Result<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            PLACE.with_borrow_mut(|place| *place = info.location().map(ToString::to_string));
            before(info);
        }));
    });
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let place = PLACE.take().map_or(String::new(), |place| format!(" at {place}"));
        Error::new(kind, format!("{doing} panicked{place}: {}", message(&*payload)))
            .hint("this is a mistake of the program, not of its input: report it with these lines")
    })
}

/// What a panic said.
fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threads_panic_brings_its_message_and_place() {
        let work = || caught(ErrorKind::Service, "the sums", || -> usize { [1, 2][std::hint::black_box(7)] });
        let error = std::thread::spawn(work).join().unwrap().unwrap_err().to_string();
        assert!(error.starts_with("the sums panicked at ") && error.contains("panic.rs:") && error.contains("len is 2"), "{error}");
        assert_eq!(caught(ErrorKind::Service, "the sums", || 3).unwrap(), 3);
    }
}
