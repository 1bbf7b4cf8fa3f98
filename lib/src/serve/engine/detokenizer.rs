//! The ids of one answer → the text and the log-probabilities that a client gets, piece by piece.

use serde_json::{Value, json};

use crate::error::Result;
use crate::generate::sampler::log_softmax;
use crate::generate::stream::StoppedStreamer;
use crate::tokenizer::text::Tokenizer;

/// One answer on its way to a client.
pub struct Detokenizer {
    streamer: StoppedStreamer,
    /// How many of the most probable tokens are named beside each; `None` names no log-probability at all.
    top: Option<usize>,
    /// Those of tokens whose text was not given out yet.
    logprobs: Vec<Value>,
}

/// Text that is ready to be sent, with the log-probabilities of its tokens.
#[derive(Debug, Default)]
pub struct Delta {
    pub text: String,
    pub logprobs: Vec<Value>,
}

impl Delta {
    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty() && self.logprobs.is_empty()
    }
}

impl Detokenizer {
    pub fn new(tokenizer: &Tokenizer, stops: &[String], top: Option<usize>) -> Self {
        Self { streamer: StoppedStreamer::new(tokenizer, stops), top, logprobs: Vec::new() }
    }

    /// Takes an id that was drawn from `logits`; `is_end` ids have no text.
    pub fn push(&mut self, id: u32, logits: &[f32], is_end: bool) -> Result<Delta> {
        if is_end {
            return Ok(Delta::default());
        }
        if let Some(top) = self.top {
            let logprobs = self.logprobs(id, logits, top)?;
            self.logprobs.push(logprobs);
        }
        let text = self.streamer.push(id)?;
        let logprobs = if text.is_empty() { Vec::new() } else { std::mem::take(&mut self.logprobs) };
        Ok(Delta { text, logprobs })
    }

    /// Whether a stop string ended the answer; it and what follows are not given out.
    pub fn stopped(&self) -> bool {
        self.streamer.found()
    }

    /// What was held back, at the end.
    pub fn end(&mut self) -> Result<Delta> {
        Ok(Delta { text: self.streamer.end()?, logprobs: std::mem::take(&mut self.logprobs) })
    }

    /// Token, log-probability, bytes and alternatives, as OpenAI's chat names them.
    fn logprobs(&self, id: u32, logits: &[f32], top: usize) -> Result<Value> {
        let all = log_softmax(logits);
        let entry = |id: u32| -> Result<Value> {
            let text = self.streamer.tokenizer().decode(&[id])?;
            Ok(json!({ "token": text, "logprob": all[id as usize], "bytes": text.as_bytes() }))
        };
        let mut order: Vec<u32> = (0..all.len() as u32).collect();
        let by_probability = |a: &u32, b: &u32| all[*b as usize].total_cmp(&all[*a as usize]);
        if top > 0 && top < order.len() {
            order.select_nth_unstable_by(top - 1, by_probability);
        }
        order.truncate(top);
        order.sort_by(by_probability);
        let mut token = entry(id)?;
        token["top_logprobs"] = order.into_iter().map(entry).collect::<Result<Vec<Value>>>()?.into();
        Ok(token)
    }
}
