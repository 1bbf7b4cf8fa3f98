//! Jobs of many clients → tokens: one thread a model writes all texts together, a token of each in one pass of the model
//! ([`crate::generate::decode`]). A text joins when its job comes and leaves when it ends; nobody waits for the longest.
//!
//! A prompt is read in pieces, so that a long one does not stop the others. Tokens go into a channel without a bound, which
//! holds one answer at most: a client that reads slowly stalls nobody, and one that has gone frees its permit.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::error::{Error, ErrorKind, Result};
use crate::generate::decode::Batch;
use crate::generate::sampler::SampledToken;
use crate::generate::sequence::ActiveSequence;
use crate::serve::config::ServedModel;
use crate::serve::engine::detokenizer::Delta;
use crate::serve::engine::job::{Event, Finish, Job, Permits};
use crate::serve::engine::metrics::Metrics;
use crate::util::panic;

/// Ids of prompts that are read in one pass, beside one id of each text that is being written.
const READ: usize = 256;

/// A model that writes; a clone is the same. The thread ends when the last clone is dropped.
#[derive(Clone)]
pub struct Engine {
    pub served: Arc<ServedModel>,
    pub permits: Permits,
    jobs: Sender<Job>,
}

impl Engine {
    /// Starts the thread, which writes `batch` texts at once while `waiting` others wait.
    pub fn start(served: ServedModel, batch: usize, waiting: usize, metrics: &Arc<Metrics>) -> Result<Self> {
        let (jobs, receiver) = channel();
        let served = Arc::new(served);
        let mut writer = Writer { served: served.clone(), metrics: metrics.clone(), width: batch, batch: Batch::new(false) };
        std::thread::Builder::new().name(format!("serve {}", served.name)).spawn(move || {
            let model = writer.served.model.clone();
            model.pool().run(move || {
                while writer.receive(&receiver) {
                    writer.survive(Writer::pass);
                }
            });
        })?;
        Ok(Self { served, permits: Permits::new(batch.saturating_add(waiting)), jobs })
    }

    /// Gives a text to the thread.
    pub fn enqueue(&self, job: Job) -> Result<()> {
        // Writer::receive takes it, and each Writer::pass writes a token of it.
        self.jobs.send(job).map_err(|_| Error::new(ErrorKind::Service, format!("`{}` is no longer served", self.served.name)))
    }
}

/// What the thread holds.
struct Writer {
    served: Arc<ServedModel>,
    metrics: Arc<Metrics>,
    width: usize,
    batch: Batch<Job>,
}

impl Writer {
    /// Takes new jobs as far as there is room; waits for one where nothing is to do. False when no more can come.
    fn receive(&mut self, jobs: &Receiver<Job>) -> bool {
        let room = self.served.model.config().max_position_embeddings();
        while self.batch.len() < self.width {
            let job = if self.batch.len() == 0 { jobs.recv().ok() } else { jobs.try_recv().ok() };
            match job {
                Some(job) if job.events.is_closed() => {}
                Some(mut job) => {
                    let sequence = ActiveSequence::new(std::mem::take(&mut job.prompt), &job.config, job.seed, room);
                    self.batch.push(sequence, job);
                }
                None => return self.batch.len() > 0,
            }
        }
        true
    }

    /// Does a pass. A fault in it ends the texts of that pass, and their clients hear what it was; the thread and later
    /// requests go on.
    fn survive(&mut self, pass: impl FnOnce(&mut Self) -> Result<()>) {
        if let Err(error) = panic::caught(ErrorKind::Model, || pass(self)) {
            for job in self.batch.clear() {
                let _ = job.events.send(Event::Failed(error.clone()));
            }
        }
    }

    /// One pass of the model: a piece of each prompt that is being read, a token of each text that is being written.
    fn pass(&mut self) -> Result<()> {
        let reads = self.batch.plan(READ);
        self.metrics.passed(reads.len(), reads.iter().sum());
        let metrics = &self.metrics;
        let emit = |sequence: &mut ActiveSequence, job: &mut Job, token: Result<SampledToken>, logits: &[f32]| {
            let goes_on = token.and_then(|token| write(sequence, job, token, logits, metrics));
            Ok(goes_on.unwrap_or_else(|error| {
                let _ = job.events.send(Event::Failed(error));
                false
            }))
        };
        self.batch.step(&self.served.model, &reads, emit)?;
        self.batch.retain(|job| !job.events.is_closed());
        Ok(())
    }
}

/// Writes the next token of a text and tells the client; false when the text has ended.
fn write(sequence: &mut ActiveSequence, job: &mut Job, token: SampledToken, logits: &[f32], metrics: &Metrics) -> Result<bool> {
    let Job { index, config, detokenizer, events, started, .. } = job;
    let is_end = config.eos_token_id.contains(&token.id);
    let goes_on = sequence.write(token);
    let written = sequence.generation().ids.len();
    if written == 1 {
        metrics.began(started.elapsed());
    }
    let tell = |delta: Delta| {
        if !delta.is_empty() {
            let _ = events.send(Event::Text { index: *index, delta });
        }
    };
    tell(detokenizer.push(token.id, logits, is_end)?);
    let stopped = detokenizer.stopped();
    if goes_on && !stopped {
        return Ok(true);
    }
    if !stopped {
        tell(detokenizer.end()?);
    }
    let finish = if is_end || stopped { Finish::Stop } else { Finish::Length };
    metrics.ended(written, started.elapsed());
    let _ = events.send(Event::End { index: *index, finish, written });
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use candle_core::Device;
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;
    use crate::generate::config::GenerationConfig;
    use crate::models::causal::CausalLm;
    use crate::models::config::NeoxConfig;
    use crate::serve::engine::detokenizer::Detokenizer;
    use crate::tokenizer::text::Tokenizer;

    #[test]
    fn a_fault_reaches_the_clients_of_its_pass_with_message_and_place_and_the_next_text_is_written() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/neox-tokenizer");
        let tokenizer = Tokenizer::from_folder(&folder).unwrap();
        let model = CausalLm::random(NeoxConfig::new(tokenizer.vocab_size(), 32, 1, 4), 1, None, &Device::Cpu).unwrap();
        let served = Arc::new(ServedModel::new("small", &model, &tokenizer));
        let mut writer = Writer { served, metrics: Arc::default(), width: 1, batch: Batch::new(false) };
        let permits = Permits::new(1);
        let (jobs, receiver) = channel();
        let submit = || {
            let (events, heard) = unbounded_channel();
            let config = Arc::new(GenerationConfig { max_new_tokens: 1, ..Default::default() });
            let (detokenizer, permit) = (Detokenizer::new(&tokenizer, &[], None), permits.take(1).unwrap().remove(0));
            let job = Job { index: 0, prompt: vec![1, 2], config, seed: 0, detokenizer, events, started: Instant::now(), _permit: permit };
            jobs.send(job).unwrap();
            heard
        };
        let mut heard = submit();
        assert!(writer.receive(&receiver));
        writer.survive(|_| panic!("the product has {} rows", 3));
        let Some(Event::Failed(error)) = heard.blocking_recv() else { panic!("no failure") };
        let error = error.to_string();
        assert!(error.contains("the product has 3 rows") && error.contains("batcher.rs:"), "{error}");
        assert_eq!(permits.taken(), 0);
        let mut heard = submit();
        assert!(writer.receive(&receiver));
        writer.survive(Writer::pass);
        let events: Vec<Event> = std::iter::from_fn(|| heard.try_recv().ok()).collect();
        assert!(matches!(events.last(), Some(Event::End { finish: Finish::Length, written: 1, .. })), "{events:?}");
    }
}
