//! Jobs of many clients → tokens: one thread a model writes all texts together, a token of each in one pass of the model
//! (continuous batching, Yu et al. 2022). A text joins when its job comes and leaves when it ends; nobody waits for the
//! longest.
//!
//! A prompt is read in pieces, so that a long one does not stop the others. Tokens go into a channel without a bound, which
//! holds one answer at most: a client that reads slowly stalls nobody, and one that has gone frees its place.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use rayon::prelude::*;
use tokio::sync::mpsc::UnboundedSender;

use crate::error::{Error, ErrorKind, Result};
use crate::generate::config::{GenerationConfig, rows};
use crate::generate::sequence::{Choice, Sequence};
use crate::models::decoder::Cache;
use crate::nn::backend::in_pool;
use crate::serve::config::ServedModel;
use crate::serve::engine::metrics::Metrics;
use crate::serve::engine::tokens::{Piece, Tokens};

/// Ids of prompts that are read in one pass, beside one id of each text that is being written.
const READ: usize = 256;

/// One text to write.
pub struct Job {
    /// Which of a request's texts it is.
    pub index: usize,
    pub prompt: Vec<u32>,
    pub config: Arc<GenerationConfig>,
    pub seed: u64,
    pub tokens: Tokens,
    pub events: UnboundedSender<Event>,
    pub started: Instant,
    /// Freed when the text has ended.
    pub _place: Place,
}

/// What a client is told of a text.
#[derive(Debug)]
pub enum Event {
    /// More of it.
    Text { index: usize, piece: Piece },
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

/// The places of one model: texts that are being written or wait.
#[derive(Debug, Clone)]
pub struct Places {
    taken: Arc<AtomicUsize>,
    all: usize,
}

/// A place that is taken until it is dropped.
#[derive(Debug)]
pub struct Place(Arc<AtomicUsize>);

impl Places {
    /// Takes so many places, or none.
    fn take(&self, count: usize) -> Option<Vec<Place>> {
        let room = |taken: usize| (taken + count <= self.all).then_some(taken + count);
        self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, room).ok()?;
        Some((0..count).map(|_| Place(self.taken.clone())).collect())
    }

    /// Places that are taken.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Acquire)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A model that writes; a clone is the same. The thread ends when the last clone is dropped.
#[derive(Clone)]
pub struct Engine {
    pub served: Arc<ServedModel>,
    pub places: Places,
    jobs: Sender<Job>,
}

impl Engine {
    /// Starts the thread.
    pub fn start(served: ServedModel, batch: usize, waiting: usize, metrics: &Arc<Metrics>) -> Result<Self> {
        let (jobs, receiver) = channel();
        let (served, metrics) = (Arc::new(served), metrics.clone());
        let own = served.clone();
        std::thread::Builder::new().name(format!("serve {}", served.name)).spawn(move || {
            let mut writer = Writer { served: own, metrics, batch, texts: Vec::new(), cache: Cache::new() };
            in_pool(move || {
                while writer.receive(&receiver) {
                    // A fault in one pass ends the texts of that pass; the thread and later requests go on.
                    let passed = catch_unwind(AssertUnwindSafe(|| writer.pass()));
                    let fault = || Error::new(ErrorKind::Model, "the computation stopped with a fault; the service goes on");
                    if let Err(error) = passed.unwrap_or_else(|_| Err(fault())) {
                        writer.fail(&error);
                    }
                }
            });
        })?;
        Ok(Self { served, places: Places { taken: Arc::default(), all: batch + waiting }, jobs })
    }

    /// Takes places for so many texts; `None` when there are not as many.
    pub fn places(&self, count: usize) -> Option<Vec<Place>> {
        self.places.take(count)
    }

    /// Gives a text to the thread.
    pub fn submit(&self, job: Job) -> Result<()> {
        self.jobs.send(job).map_err(|_| Error::new(ErrorKind::Service, format!("`{}` is no longer served", self.served.name)))
    }
}

/// A text that is being written.
struct Text {
    job: Job,
    sequence: Sequence,
}

struct Writer {
    served: Arc<ServedModel>,
    metrics: Arc<Metrics>,
    batch: usize,
    /// In the order of the cache; those behind it are new.
    texts: Vec<Text>,
    cache: Cache,
}

impl Writer {
    /// Takes new jobs as far as there is room; waits for one where nothing is to do. False when no more can come.
    fn receive(&mut self, jobs: &Receiver<Job>) -> bool {
        while self.texts.len() < self.batch {
            let job = if self.texts.is_empty() { jobs.recv().ok() } else { jobs.try_recv().ok() };
            match job {
                Some(job) if job.events.is_closed() => {}
                Some(mut job) => {
                    let prompt = std::mem::take(&mut job.prompt);
                    let sequence = Sequence::new(prompt, job.seed);
                    self.texts.push(Text { job, sequence });
                }
                None => return !self.texts.is_empty(),
            }
        }
        true
    }

    /// One pass of the model: a piece of each prompt that is being read, an id of each text that is being written.
    fn pass(&mut self) -> Result<()> {
        let mut rest = READ;
        let piece = |text: &Text| {
            let fresh = text.sequence.fresh(rest.max(1));
            if fresh.len() > 1 {
                rest = rest.saturating_sub(fresh.len());
            }
            fresh.len()
        };
        let lengths: Vec<usize> = self.texts.iter().map(piece).collect();
        let new: Vec<&[u32]> = self.texts.iter().zip(&lengths).map(|(text, &length)| text.sequence.fresh(length)).collect();
        self.metrics.passed(new.len(), lengths.iter().sum());
        let logits = rows(&self.served.model.forward_cached_batch(&new, &mut self.cache)?)?;
        let whole: Vec<bool> = self.texts.iter_mut().zip(&lengths).map(|(text, &length)| text.sequence.read(length)).collect();
        let choose =
            |((text, logits), whole): ((&Text, &Vec<f32>), &bool)| whole.then(|| text.sequence.choose(logits, &text.job.config, false));
        let choices: Vec<Option<Choice>> = self.texts.par_iter().zip(&logits).zip(&whole).map(choose).collect();
        let room = self.served.model.config().max_position_embeddings();
        let metrics = self.metrics.clone();
        let mut stay = Vec::with_capacity(choices.len());
        for (place, ((text, choice), logits)) in self.texts.iter_mut().zip(choices).zip(&logits).enumerate() {
            let goes_on = choice.map_or(Ok(true), |choice| text.write(choice, logits, room, &metrics));
            let goes_on = goes_on.unwrap_or_else(|error| {
                let _ = text.job.events.send(Event::Failed(error));
                false
            });
            if goes_on && !text.job.events.is_closed() {
                stay.push(place);
            }
        }
        self.cache.keep(&stay);
        let mut kept = stay.into_iter().peekable();
        let mut place = 0;
        self.texts.retain(|_| {
            let keeps = kept.next_if_eq(&place).is_some();
            place += 1;
            keeps
        });
        Ok(())
    }

    /// Ends all texts with an error.
    fn fail(&mut self, error: &Error) {
        for text in self.texts.drain(..) {
            let _ = text.job.events.send(Event::Failed(error.clone()));
        }
        self.cache = Cache::new();
    }
}

impl Text {
    /// Writes the next id and tells the client; false when the text has ended.
    fn write(&mut self, choice: Choice, logits: &[f32], room: usize, metrics: &Metrics) -> Result<bool> {
        let Job { index, config, tokens, events, started, .. } = &mut self.job;
        let (index, id) = (*index, choice.id);
        let is_end = config.eos_token_id.contains(&id);
        let goes_on = self.sequence.write(choice, config, room);
        let written = self.sequence.generation().ids.len();
        if written == 1 {
            metrics.began(started.elapsed());
        }
        let piece = tokens.push(id, logits, is_end)?;
        let stopped = tokens.stopped();
        let tell = |piece: Piece| {
            if !piece.text.is_empty() || !piece.log_probabilities.is_empty() {
                let _ = events.send(Event::Text { index, piece });
            }
        };
        tell(piece);
        if goes_on && !stopped {
            return Ok(true);
        }
        if !stopped {
            tell(tokens.end()?);
        }
        let finish = if is_end || stopped { Finish::Stop } else { Finish::Length };
        metrics.ended(written, started.elapsed());
        let _ = events.send(Event::End { index, finish, written });
        Ok(false)
    }
}
