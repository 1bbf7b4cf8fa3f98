//! One text in the making: what was read and written of it, and how its next id is drawn.

use crate::generate::config::{Generation, GenerationConfig};
use crate::util::rng::Pcg64;
use compute::cpu::rows::{argmax, log_probability};

/// A prompt and what has been written after it.
#[derive(Debug, Clone)]
pub(crate) struct Sequence {
    ids: Vec<u32>,
    /// Ids that the cache holds.
    seen: usize,
    random: Pcg64,
    generation: Generation,
}

/// The next id of a sequence, not yet written.
pub(crate) struct Choice {
    pub id: u32,
    log_probability: f64,
    random: Pcg64,
}

impl Sequence {
    /// A prompt with nothing behind it; the same seed draws the same text in any company.
    pub fn new(prompt: Vec<u32>, seed: u64) -> Self {
        Self { ids: prompt, seen: 0, random: Pcg64::new(seed), generation: Generation::default() }
    }

    /// The ids that the cache does not hold, at most `most` of them.
    pub fn fresh(&self, most: usize) -> &[u32] {
        &self.ids[self.seen..self.ids.len().min(self.seen.saturating_add(most))]
    }

    /// Notes that the cache has read so many more ids; true when it holds all, so that an id can be chosen.
    pub fn read(&mut self, count: usize) -> bool {
        self.seen += count;
        self.seen == self.ids.len()
    }

    /// The next id by the logits that follow the text; its log-probability is 0 unless it is `told`.
    pub fn choose(&self, logits: &[f32], config: &GenerationConfig, told: bool) -> Choice {
        let mut random = self.random.clone();
        let id = match config.takes_the_best(self.generation.ids.len()) {
            true => argmax(logits),
            false => {
                let mut changed = logits.to_vec();
                config.penalise(&mut changed, &self.ids, self.generation.ids.len());
                config.choose(changed, &mut random)
            }
        };
        Choice { id, log_probability: if told { log_probability(id, logits) } else { 0.0 }, random }
    }

    /// Writes an id; false when it ended the text, or there is no room for another.
    pub fn write(&mut self, choice: Choice, config: &GenerationConfig, room: usize) -> bool {
        let Choice { id, log_probability, random } = choice;
        self.random = random;
        self.ids.push(id);
        self.generation.ids.push(id);
        self.generation.log_probabilities.push(log_probability);
        self.generation.ended = config.eos_token_id.contains(&id);
        !self.generation.ended && self.generation.ids.len() < config.max_new_tokens && self.ids.len() < room
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
