//! Texts that are written together and a model → the next token of each: the one loop body behind every call that generates,
//! for one prompt, for many, and for clients that come and go (continuous batching, Yu et al. 2022). A text joins at any
//! time and leaves when it ends; each gets what it would get alone.

use rayon::prelude::*;

use crate::error::Result;
use crate::generate::sampler::{SampledToken, rows};
use crate::generate::sequence::ActiveSequence;
use crate::models::causal::CausalLm;
use crate::models::decoder::Cache;

/// Texts in the order of the key/value cache that they share, each with what its owner needs; those behind it are new.
pub(crate) struct Batch<T> {
    texts: Vec<(ActiveSequence, T)>,
    cache: Cache,
    logprobs: bool,
}

impl<T: Send> Batch<T> {
    /// No text yet; `logprobs` asks for the log-probability of each token.
    pub fn new(logprobs: bool) -> Self {
        Self { texts: Vec::new(), cache: Cache::new(), logprobs }
    }

    /// Takes a text in.
    pub fn push(&mut self, sequence: ActiveSequence, owner: T) {
        self.texts.push((sequence, owner));
    }

    /// How many texts are being written.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Tokens of the text that has been here longest.
    pub fn written(&self) -> usize {
        self.texts.first().map_or(0, |(sequence, _)| sequence.generation().ids.len())
    }

    /// How many ids of each text the next pass reads: those it lacks, of long prompts a piece, so that all pieces together
    /// have about `most` ids.
    pub fn plan(&self, most: usize) -> Vec<usize> {
        let mut rest = most;
        let piece = |(sequence, _): &(ActiveSequence, T)| {
            let count = sequence.unread(rest.max(1)).len();
            if count > 1 {
                rest = rest.saturating_sub(count);
            }
            count
        };
        self.texts.iter().map(piece).collect()
    }

    /// One pass of the model over so many ids of each text ([`Batch::plan`]). Each text that is read whole gets a token;
    /// `emit` takes it with the logits that it was drawn by, and says whether the text goes on. Gives back those that ended.
    ///
    /// # Errors
    /// When the model fails, or `emit` does.
    pub fn step(
        &mut self,
        model: &CausalLm,
        reads: &[usize],
        mut emit: impl FnMut(&mut ActiveSequence, &mut T, Result<SampledToken>, &[f32]) -> Result<bool>,
    ) -> Result<Vec<(ActiveSequence, T)>> {
        let new: Vec<&[u32]> = self.texts.iter().zip(reads).map(|((sequence, _), &count)| sequence.unread(count)).collect();
        let logits = rows(&model.forward_cached_batch(&new, &mut self.cache)?)?;
        let logprobs = self.logprobs;
        let sample = |(((sequence, _), &count), logits): ((&mut (ActiveSequence, T), &usize), &Vec<f32>)| {
            sequence.mark_read(count).then(|| sequence.sample(logits, logprobs))
        };
        let tokens: Vec<Option<Result<SampledToken>>> = self.texts.par_iter_mut().zip(reads).zip(&logits).map(sample).collect();
        let mut stay = Vec::with_capacity(tokens.len());
        for (((sequence, owner), token), logits) in self.texts.iter_mut().zip(tokens).zip(&logits) {
            stay.push(token.map_or(Ok(true), |token| emit(sequence, owner, token, logits))?);
        }
        let mut stay = stay.into_iter();
        Ok(self.retain(|_| stay.next().unwrap_or(true)))
    }

    /// Gives back the texts that `stays` does not keep.
    pub fn retain(&mut self, mut stays: impl FnMut(&T) -> bool) -> Vec<(ActiveSequence, T)> {
        let (mut places, mut left) = (Vec::new(), Vec::new());
        for (place, text) in std::mem::take(&mut self.texts).into_iter().enumerate() {
            if stays(&text.1) {
                places.push(place);
                self.texts.push(text);
            } else {
                left.push(text);
            }
        }
        if !left.is_empty() {
            self.cache.keep(&places);
        }
        left
    }

    /// Gives all texts back, after a failure.
    #[cfg(feature = "serve")]
    pub fn clear(&mut self) -> impl Iterator<Item = T> {
        self.cache = Cache::new();
        std::mem::take(&mut self.texts).into_iter().map(|(_, owner)| owner)
    }
}
