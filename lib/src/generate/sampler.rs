//! Logits and what was read and written so far → the next token: penalties, filters and a draw, in the order of
//! transformers' `generate`.

use candle_core::{DType, Tensor};

use crate::error::{Error, ErrorKind, Result};
use crate::generate::config::GenerationConfig;
use crate::util::rng::Pcg64;
use compute::cpu::rows::{argmax, log_probability};

/// The next token of a text.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct SampledToken {
    /// Its id.
    pub id: u32,
    /// The logarithm of its probability, before penalties and filters; 0 where it was not asked for.
    pub log_probability: f64,
}

/// The token that follows `past`, of which the last `written` ids were generated; `logprobs` asks for its log-probability.
///
/// # Errors
/// When a logit is NaN, or penalties and filters leave no id.
pub(crate) fn next_token(
    config: &GenerationConfig,
    logits: &[f32],
    past: &[u32],
    written: usize,
    random: &mut Pcg64,
    logprobs: bool,
) -> Result<SampledToken> {
    check_logits(logits)?;
    let id = if config.takes_argmax(written) {
        argmax(logits)
    } else {
        let mut processed = logits.to_vec();
        config.process_logits(&mut processed, past, written);
        config.sample(processed, random)?
    };
    Ok(SampledToken { id, log_probability: if logprobs { log_probability(id, logits) } else { 0.0 } })
}

/// Refuses logits that are no numbers: no token is more probable than another then.
pub(crate) fn check_logits(logits: &[f32]) -> Result<()> {
    // Without an early end, so that many are looked at at once.
    if !logits.iter().fold(false, |found, logit| found | logit.is_nan()) {
        return Ok(());
    }
    let count = logits.iter().filter(|logit| logit.is_nan()).count();
    Err(Error::new(ErrorKind::Model, format!("{count} of the model's {} logits are NaN, so that no token can be chosen", logits.len()))
        .hint("its weights hold NaN or numbers that are too large: load the checkpoint again, in f32, or train with a lower rate"))
}

impl GenerationConfig {
    /// Whether the next id is that of the highest logit as it is, after so many ids were `written`.
    fn takes_argmax(&self, written: usize) -> bool {
        !self.do_sample && self.repetition_penalty == 1.0 && self.no_repeat_ngram_size == 0 && written >= self.min_new_tokens
    }

    /// Changes logits by what was read and written so far: repetition penalty, then forbidden runs, then, while fewer than
    /// `min_new_tokens` ids are `written`, no end.
    pub fn process_logits(&self, logits: &mut [f32], past: &[u32], written: usize) {
        if self.repetition_penalty != 1.0 {
            let penalty = self.repetition_penalty as f32;
            let mut seen: Vec<u32> = past.to_vec();
            seen.sort_unstable();
            seen.dedup();
            for id in seen {
                if let Some(logit) = logits.get_mut(id as usize) {
                    *logit = if *logit < 0.0 { *logit * penalty } else { *logit / penalty };
                }
            }
        }
        let size = self.no_repeat_ngram_size;
        if size > 0 && past.len() + 1 >= size {
            let start = &past[past.len() + 1 - size..];
            for run in past.windows(size).filter(|run| run[..size - 1] == *start) {
                if let Some(logit) = logits.get_mut(run[size - 1] as usize) {
                    *logit = f32::NEG_INFINITY;
                }
            }
        }
        if written < self.min_new_tokens {
            for &id in &self.eos_token_id {
                if let Some(logit) = logits.get_mut(id as usize) {
                    *logit = f32::NEG_INFINITY;
                }
            }
        }
    }

    /// Applies temperature and filters; what is filtered out becomes −∞.
    pub fn warp_logits(&self, logits: &mut [f32]) {
        let temperature = (self.temperature as f32).max(f32::MIN_POSITIVE);
        let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        // So small a temperature takes the best to infinity: its distances to the others are divided in its place.
        let shift = if (top / temperature).is_finite() { 0.0 } else { top };
        logits.iter_mut().for_each(|logit| *logit = (*logit - shift) / temperature);
        if self.top_k > 0 && self.top_k < logits.len() {
            let mut sorted = logits.to_vec();
            let (_, least, _) = sorted.select_nth_unstable_by(self.top_k - 1, |a, b| b.total_cmp(a));
            let least = *least;
            logits.iter_mut().filter(|logit| **logit < least).for_each(|logit| *logit = f32::NEG_INFINITY);
        }
        if self.top_p < 1.0 {
            let probabilities = softmax(logits);
            let mut order: Vec<usize> = (0..logits.len()).collect();
            order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
            let mut before = 0.0;
            for (rank, id) in order.into_iter().enumerate() {
                if rank > 0 && before >= self.top_p {
                    logits[id] = f32::NEG_INFINITY;
                }
                before += probabilities[id];
            }
        }
        if self.min_p > 0.0 {
            let probabilities = softmax(logits);
            let least = self.min_p * probabilities.iter().fold(0.0, |a: f64, b| a.max(*b));
            logits.iter_mut().zip(&probabilities).filter(|(_, p)| **p < least).for_each(|(logit, _)| *logit = f32::NEG_INFINITY);
        }
    }

    /// The next id, from logits that went through [`GenerationConfig::process_logits`].
    ///
    /// # Errors
    /// When every id is forbidden, or a logit that is drawn by is infinite.
    pub fn sample(&self, mut logits: Vec<f32>, random: &mut Pcg64) -> Result<u32> {
        let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        if top == f32::NEG_INFINITY || self.do_sample && top == f32::INFINITY {
            return Err(Error::new(ErrorKind::Model, format!("no token can be chosen: the highest logit is {top}"))
                .hint("penalties, `no_repeat_ngram_size` and `min_new_tokens` forbid every token, or the model's numbers overflow"));
        }
        if !self.do_sample {
            return Ok(argmax(&logits));
        }
        self.warp_logits(&mut logits);
        let probabilities = softmax(&logits);
        let mut rest = random.next_f64();
        for (id, p) in probabilities.iter().enumerate() {
            rest -= p;
            if rest < 0.0 {
                return Ok(id as u32);
            }
        }
        Ok(argmax(&logits))
    }

    /// [`GenerationConfig::sample`].
    ///
    /// # Errors
    /// Those of [`GenerationConfig::sample`].
    #[deprecated(since = "0.1.0", note = "it is called `sample`")]
    pub fn choose(&self, logits: Vec<f32>, random: &mut Pcg64) -> Result<u32> {
        self.sample(logits, random)
    }

    /// [`GenerationConfig::process_logits`].
    #[deprecated(since = "0.1.0", note = "it is called `process_logits`")]
    pub fn penalise(&self, logits: &mut [f32], past: &[u32], written: usize) {
        self.process_logits(logits, past, written);
    }

    /// [`GenerationConfig::warp_logits`].
    #[deprecated(since = "0.1.0", note = "it is called `warp_logits`")]
    pub fn filter(&self, logits: &mut [f32]) {
        self.warp_logits(logits);
    }
}

/// Probabilities of logits.
pub fn softmax(logits: &[f32]) -> Vec<f64> {
    log_softmax(logits).iter().map(|p| p.exp()).collect()
}

/// Logarithms of the probabilities of logits.
pub fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let top = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|&logit| (f64::from(logit) - top).exp()).sum();
    logits.iter().map(|&logit| f64::from(logit) - top - sum.ln()).collect()
}

/// The rows of `(S,V)` logits.
pub(crate) fn rows(logits: &Tensor) -> Result<Vec<Vec<f32>>> {
    Ok(logits.to_dtype(DType::F32)?.to_vec2()?)
}
