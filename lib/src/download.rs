//! A file of a hub repository → the local cache, with live progress, stoppable at any moment.
//!
//! hf-hub reads in a thread of its own, so that a network that says nothing does not hold the cell; what was fetched
//! stays in its partial file, and the next call goes on from there.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use hf_hub::api::Progress;
use hf_hub::api::sync::{ApiError, ApiRepo};

use crate::display::{Html, LiveDisplay, escape};
use crate::error::Result;
use crate::interrupt;

/// Files smaller than this many bytes show no progress.
const LARGE: u64 = 1 << 20;

/// What the reading thread tells the waiting one.
#[derive(Default)]
struct State {
    total: AtomicU64,
    read: AtomicU64,
    stopped: AtomicBool,
}

struct Meter(Arc<State>);

impl Progress for Meter {
    fn init(&mut self, size: usize, _: &str) {
        self.0.total.store(size as u64, Ordering::Relaxed);
    }

    fn update(&mut self, size: usize) {
        self.0.read.fetch_add(size as u64, Ordering::Relaxed);
        if self.0.stopped.load(Ordering::Relaxed) {
            // Ends the thread without the message of a panic; hf-hub has no other way out.
            std::panic::resume_unwind(Box::new("stopped"));
        }
    }

    fn finish(&mut self) {}
}

/// Fetches a file; the inner error is the hub's.
///
/// # Errors
/// [`crate::ErrorKind::Interrupted`].
pub(crate) fn fetch(repository: &Arc<ApiRepo>, file: &str) -> Result<std::result::Result<PathBuf, ApiError>> {
    let state = Arc::new(State::default());
    let (done, answer) = channel();
    let (reader, meter, name) = (Arc::clone(repository), Meter(Arc::clone(&state)), file.to_string());
    std::thread::spawn(move || {
        let _ = done.send(reader.download_with_progress(&name, meter));
    });
    let mut live = LiveDisplay::new();
    loop {
        let answered = answer.recv_timeout(Duration::from_millis(100));
        let (read, total) = (state.read.load(Ordering::Relaxed), state.total.load(Ordering::Relaxed));
        if total >= LARGE {
            live.update(&bar(file, read, total));
        }
        match answered {
            Ok(answer) => return Ok(answer),
            Err(RecvTimeoutError::Disconnected) => {
                return Ok(Err(ApiError::IoError(std::io::Error::other("the download ended without an answer"))));
            }
            Err(RecvTimeoutError::Timeout) => {
                let stopped = interrupt::check(format_args!("while fetching {file}, after {} of {}", megabytes(read), megabytes(total)));
                state.stopped.store(stopped.is_err(), Ordering::Relaxed);
                stopped?;
            }
        }
    }
}

fn bar(file: &str, read: u64, total: u64) -> Html {
    let text = format!("{file}: {} of {}", megabytes(read), megabytes(total));
    Html { html: format!("<progress value=\"{read}\" max=\"{total}\"></progress> {}", escape(&text)), text }
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
