//! One text to write, the permit that it holds, and what its client hears of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::sync::mpsc::UnboundedSender;

use crate::error::Error;
use crate::generate::config::GenerationConfig;
use crate::serve::engine::detokenizer::{Delta, Detokenizer};

/// One text to write.
pub struct Job {
    /// Which of a request's texts it is.
    pub index: usize,
    pub prompt: Vec<u32>,
    pub config: Arc<GenerationConfig>,
    pub seed: u64,
    pub detokenizer: Detokenizer,
    pub events: UnboundedSender<Event>,
    pub started: Instant,
    /// Given back when the text has ended.
    pub _permit: Permit,
}

/// What a client is told of a text.
#[derive(Debug)]
pub enum Event {
    /// More of it.
    Text { index: usize, delta: Delta },
    /// Its end.
    End { index: usize, finish: Finish, written: usize },
    /// It could not be written.
    Failed(Error),
}

/// Why a text ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// An end token or a stop string.
    Stop,
    /// The limit of tokens, or the end of the context.
    Length,
}

impl Finish {
    /// OpenAI's word.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
        }
    }
}

/// The permits of one model, one for each text that is being written or waits.
#[derive(Debug, Clone)]
pub struct Permits {
    taken: Arc<AtomicUsize>,
    all: usize,
}

/// The right to have one text written, until it is dropped.
#[derive(Debug)]
pub struct Permit(Arc<AtomicUsize>);

impl Permits {
    /// So many, all free.
    pub fn new(all: usize) -> Self {
        Self { taken: Arc::default(), all }
    }

    /// Takes so many permits, or none.
    pub fn take(&self, count: usize) -> Option<Vec<Permit>> {
        let room = |taken: usize| taken.checked_add(count).filter(|taken| *taken <= self.all);
        self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, room).ok()?;
        Some((0..count).map(|_| Permit(self.taken.clone())).collect())
    }

    /// Permits that are taken.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Acquire)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
