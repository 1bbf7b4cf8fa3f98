//! One text in the making: what was read and written of it, and what its next token is drawn by.

use std::sync::Arc;

use crate::error::Result;
use crate::generate::config::GenerationConfig;
use crate::generate::sampler::{SampledToken, next_token};
use crate::util::rng::Pcg64;

/// What was generated after one prompt.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Generation {
    /// The new ids, the one that ended the text included.
    pub ids: Vec<u32>,
    /// The logarithm of each new id's probability, before penalties and filters.
    pub log_probabilities: Vec<f64>,
    /// Whether an end id or a stop string ended it, and not the limit of tokens.
    pub ended: bool,
}

/// A prompt and what has been written after it.
#[derive(Debug, Clone)]
pub(crate) struct ActiveSequence {
    config: Arc<GenerationConfig>,
    ids: Vec<u32>,
    /// Ids that the cache holds.
    cached: usize,
    /// Most ids of prompt and text together.
    room: usize,
    random: Pcg64,
    generation: Generation,
}

impl ActiveSequence {
    /// A prompt with nothing behind it, which may become `room` ids long; the same seed draws the same text in any company.
    pub fn new(prompt: Vec<u32>, config: &Arc<GenerationConfig>, seed: u64, room: usize) -> Self {
        let (config, generation) = (config.clone(), Generation::default());
        Self { config, ids: prompt, cached: 0, room, random: Pcg64::new(seed), generation }
    }

    /// The ids that the cache does not hold, at most `most` of them.
    pub fn unread(&self, most: usize) -> &[u32] {
        &self.ids[self.cached..self.ids.len().min(self.cached.saturating_add(most))]
    }

    /// Notes that the cache has read so many more ids; true when it holds all, so that a token can be chosen.
    pub fn mark_read(&mut self, count: usize) -> bool {
        self.cached += count;
        self.cached == self.ids.len()
    }

    /// The next token by the logits that follow the text; not yet written.
    pub fn sample(&mut self, logits: &[f32], logprobs: bool) -> Result<SampledToken> {
        next_token(&self.config, logits, &self.ids, self.generation.ids.len(), &mut self.random, logprobs)
    }

    /// Writes a token; false when it ended the text, or there is no room for another.
    pub fn write(&mut self, token: SampledToken) -> bool {
        self.ids.push(token.id);
        self.generation.ids.push(token.id);
        self.generation.log_probabilities.push(token.log_probability);
        self.generation.ended = self.config.eos_token_id.contains(&token.id);
        !self.generation.ended && self.generation.ids.len() < self.config.max_new_tokens && self.ids.len() < self.room
    }

    /// Notes that a stop string ended the text.
    pub fn stop(&mut self) {
        self.generation.ended = true;
    }

    /// What was written so far.
    pub fn generation(&self) -> &Generation {
        &self.generation
    }

    /// What was written.
    pub fn into_generation(self) -> Generation {
        self.generation
    }
}
