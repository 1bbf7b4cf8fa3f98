//! The ids of one answer → the text and the log-probabilities that a client gets, piece by piece.

use serde_json::{Value, json};

use crate::error::Result;
use crate::generate::config::log_softmax;
use crate::generate::stream::{StopStrings, TextStreamer};
use crate::tokenizer::text::Tokenizer;

/// One answer on its way to a client.
pub struct Tokens {
    tokenizer: Tokenizer,
    streamer: TextStreamer,
    stops: StopStrings,
    /// How many of the most probable tokens are told beside each; `None` tells no log-probability at all.
    top: Option<usize>,
    /// Those of tokens whose text was not given out yet.
    log_probabilities: Vec<Value>,
}

/// Text that is ready to be sent, with what is told of its tokens.
#[derive(Debug, Default)]
pub struct Piece {
    pub text: String,
    pub log_probabilities: Vec<Value>,
}

impl Tokens {
    pub fn new(tokenizer: &Tokenizer, stops: &[String], top: Option<usize>) -> Self {
        Self {
            streamer: TextStreamer::new(tokenizer),
            stops: StopStrings::new(stops),
            tokenizer: tokenizer.clone(),
            top,
            log_probabilities: Vec::new(),
        }
    }

    /// Takes an id that was drawn from `logits`; `is_end` ids have no text.
    pub fn push(&mut self, id: u32, logits: &[f32], is_end: bool) -> Result<Piece> {
        if let Some(top) = self.top.filter(|_| !is_end) {
            let told = self.told(id, logits, top)?;
            self.log_probabilities.push(told);
        }
        let text = if is_end { String::new() } else { self.streamer.push(id)? };
        let text = self.stops.push(&text);
        Ok(self.piece(text))
    }

    /// Whether a stop string ended the answer; it and what follows are not given out.
    pub fn stopped(&self) -> bool {
        self.stops.found()
    }

    /// What was held back, at the end.
    pub fn end(&mut self) -> Result<Piece> {
        let rest = self.streamer.end()?;
        let mut text = self.stops.push(&rest);
        text.push_str(&self.stops.end());
        Ok(Piece { text, log_probabilities: std::mem::take(&mut self.log_probabilities) })
    }

    fn piece(&mut self, text: String) -> Piece {
        match text.is_empty() {
            true => Piece::default(),
            false => Piece { text, log_probabilities: std::mem::take(&mut self.log_probabilities) },
        }
    }

    /// Token, log-probability, bytes and alternatives, as OpenAI's chat tells them.
    fn told(&self, id: u32, logits: &[f32], top: usize) -> Result<Value> {
        let all = log_softmax(logits);
        let entry = |id: u32| -> Result<Value> {
            let text = self.tokenizer.decode(&[id])?;
            Ok(json!({ "token": text, "logprob": all[id as usize], "bytes": text.as_bytes() }))
        };
        let mut order: Vec<u32> = (0..all.len() as u32).collect();
        let by_probability = |a: &u32, b: &u32| all[*b as usize].total_cmp(&all[*a as usize]);
        if top > 0 && top < order.len() {
            order.select_nth_unstable_by(top - 1, by_probability);
        }
        order.truncate(top);
        order.sort_by(by_probability);
        let mut told = entry(id)?;
        told["top_logprobs"] = order.into_iter().map(entry).collect::<Result<Vec<Value>>>()?.into();
        Ok(told)
    }
}
