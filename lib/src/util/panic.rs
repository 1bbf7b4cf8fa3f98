//! A panic of a thread that works for a caller → an [`Error`] with the panic's message and its place in the source.
//!
//! The payload of a panic has no place; only the hook of the process is told it. The first call puts a hook before the one
//! that is there, which goes on as before, and remembers the places of the last panics by their messages.

use std::any::Any;
use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, Location, PanicHookInfo, catch_unwind};
use std::sync::{Mutex, Once, PoisonError};

use crate::error::{Error, ErrorKind, Result};

/// Panics whose places are remembered: more than threads panic at once.
const LAST: usize = 32;

/// Message and place of the last panics, the newest last.
static PANICS: Mutex<VecDeque<(String, String)>> = Mutex::new(VecDeque::new());

thread_local! {
    /// Whether this thread's panics are expected, and told as errors alone.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`, whose panics are not printed: what calls it makes errors of them.
pub fn quietly<T>(work: impl FnOnce() -> T) -> T {
    struct Back(bool);
    impl Drop for Back {
        fn drop(&mut self) {
            QUIET.set(self.0);
        }
    }
    let _back = Back(QUIET.replace(true));
    work()
}

/// Runs `work`; a panic in it, on whatever thread that passes it on, is an error of `kind`.
///
/// # Errors
/// Those of `work`, and its panic.
pub fn caught<T>(kind: ErrorKind, work: impl FnOnce() -> Result<T>) -> Result<T> {
    watch();
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| Err(error(kind, payload.as_ref())))
}

/// Remembers the places of panics from here on, for [`error`].
pub fn watch() {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info: &PanicHookInfo| {
            let mut panics = PANICS.lock().unwrap_or_else(PoisonError::into_inner);
            if panics.len() == LAST {
                panics.pop_front();
            }
            panics.push_back((message(info.payload()), info.location().map(place).unwrap_or_default()));
            drop(panics);
            if !QUIET.try_with(Cell::get).unwrap_or(false) {
                before(info);
            }
        }));
    });
}

/// What a panic left behind, as `catch_unwind` and the joins of threads and tasks give it.
pub fn error(kind: ErrorKind, payload: &(dyn Any + Send)) -> Error {
    let message = message(payload);
    let panics = PANICS.lock().unwrap_or_else(PoisonError::into_inner);
    let place = panics.iter().rev().find(|(other, _)| *other == message).map(|(_, place)| format!(" ({place})"));
    Error::new(kind, format!("the program has a fault: {message}{}", place.unwrap_or_default()))
        .hint("this call has no result, later ones may; report the message with what was called")
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a message").to_string()
}

/// File, line and column; of a file elsewhere on this machine no more than the end of its path.
fn place(location: &Location) -> String {
    let parts: Vec<&str> = location.file().split(['/', '\\']).collect();
    let file = if location.file().starts_with('/') { parts[parts.len().saturating_sub(4)..].join("/") } else { parts.join("/") };
    format!("{file}:{}:{}", location.line(), location.column())
}

#[cfg(test)]
mod tests {
    use rayon::prelude::*;

    use super::*;

    #[test]
    fn a_panic_keeps_message_and_place_also_through_a_pool() {
        let fail = |index: usize| if index == 7 { panic!("row {index} is odd") } else { Ok(()) };
        let error = caught(ErrorKind::Model, || (0..20usize).into_par_iter().map(fail).collect::<Result<()>>()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("row 7 is odd (") && text.contains("panic.rs:") && text.contains("hint: "), "{text}");
        assert_eq!(error.kind(), ErrorKind::Model);
        assert_eq!(caught(ErrorKind::Data, || Ok(3)).unwrap(), 3);
        assert!(
            caught::<()>(ErrorKind::Data, || std::panic::resume_unwind(Box::new(1))).unwrap_err().to_string().contains("without a message")
        );
    }
}
