//! Bytes so far → a bar in the cell under our kernel, a few lines on stderr everywhere else.

use std::time::{Duration, Instant};

use crate::display::output::{Html, LiveDisplay, escape, in_our_kernel};
use crate::util::notice;

/// Files smaller than this many bytes show no progress.
const LARGE: u64 = 1 << 20;
/// The least time between two pictures in a cell.
const FRAME: Duration = Duration::from_millis(100);
/// The least time between two lines of a log.
const LINE: Duration = Duration::from_secs(10);

/// The progress of one file.
#[derive(Debug)]
pub(crate) struct Meter {
    label: String,
    total: u64,
    first: u64,
    start: Instant,
    shown: Option<Instant>,
    live: LiveDisplay,
}

impl Meter {
    /// A meter of a file of which `first` bytes are there.
    pub(crate) fn new(label: impl Into<String>, first: u64, total: u64) -> Self {
        Self { label: label.into(), total, first, start: Instant::now(), shown: None, live: LiveDisplay::new() }
    }

    /// Shows the bytes so far, not too often, and always the last.
    pub(crate) fn update(&mut self, bytes: u64) {
        let pause = if in_our_kernel() { FRAME } else { LINE };
        let last = bytes >= self.total;
        if self.total < LARGE || (!last && self.shown.unwrap_or(self.start).elapsed() < pause) {
            return;
        }
        self.shown = Some(Instant::now());
        let text = self.text(bytes);
        if in_our_kernel() {
            let html = format!("<progress value=\"{bytes}\" max=\"{}\"></progress> {}", self.total, escape(&text));
            self.live.update(&Html { html, text });
        } else {
            notice::info(text);
        }
    }

    fn text(&self, bytes: u64) -> String {
        let rate = bytes.saturating_sub(self.first) as f64 / self.start.elapsed().as_secs_f64().max(1e-3);
        format!("{}: {} of {}, {:.1} MB/s", self.label, megabytes(bytes), megabytes(self.total), rate / 1e6)
    }
}

/// A number of bytes for people.
pub(crate) fn megabytes(bytes: u64) -> String {
    if bytes >= 1_000_000_000 { format!("{:.2} GB", bytes as f64 / 1e9) } else { format!("{:.1} MB", bytes as f64 / 1e6) }
}
