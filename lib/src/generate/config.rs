//! Logits and what was written so far → the next id: penalties, filters and sampling, in the order of transformers' `generate`.

use candle_core::Tensor;

use crate::error::{Error, ErrorKind, Result};
use crate::util::rng::Pcg64;
use compute::cpu::rows::argmax;

/// How text is generated; names, meanings and defaults are those of transformers' `GenerationConfig`.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationConfig {
    /// Most ids that follow the prompt. Default 20.
    pub max_new_tokens: usize,
    /// No end id before this many ids follow the prompt. Default 0.
    pub min_new_tokens: usize,
    /// Draw from the probabilities; otherwise the most probable id is taken. Default false.
    pub do_sample: bool,
    /// Divides the logits: below 1 is more certain, above 1 more varied. Default 1.
    pub temperature: f64,
    /// Draw from this many most probable ids; 0 takes all. Default 50.
    pub top_k: usize,
    /// Draw from the most probable ids that together have this probability. Default 1.
    pub top_p: f64,
    /// Leave out ids less probable than this part of the most probable one's. Default 0.
    pub min_p: f64,
    /// Above 1 makes ids that were read or written less probable (Keskar et al. 2019). Default 1.
    pub repetition_penalty: f64,
    /// No run of this many ids may occur twice; 0 allows all. Default 0.
    pub no_repeat_ngram_size: usize,
    /// Continuations that are followed at once; 1 follows one. Default 1.
    pub num_beams: usize,
    /// A beam's score is divided by its length to this power. Default 1.
    pub length_penalty: f64,
    /// Stop when as many beams have ended as are followed. Default false: until none can become better.
    pub early_stopping: bool,
    /// Texts for each prompt: drawn anew, or the best of the beams (at most `num_beams`). Default 1.
    pub num_return_sequences: usize,
    /// Ids that end a text; they are kept. Default none.
    pub eos_token_id: Vec<u32>,
    /// Texts that end a text; they are kept.
    pub stop_strings: Vec<String>,
    /// The same seed draws the same text. Default 42.
    pub seed: u64,
}

impl Default for GenerationConfig {
    fn default() -> Self {
        Self {
            max_new_tokens: 20,
            min_new_tokens: 0,
            do_sample: false,
            temperature: 1.0,
            top_k: 50,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            no_repeat_ngram_size: 0,
            num_beams: 1,
            length_penalty: 1.0,
            early_stopping: false,
            num_return_sequences: 1,
            eos_token_id: Vec::new(),
            stop_strings: Vec::new(),
            seed: 42,
        }
    }
}

impl GenerationConfig {
    /// Refuses values that cannot work, naming field, value and range.
    pub fn validate(&self) -> Result<()> {
        let checks = [
            ("max_new_tokens", self.max_new_tokens as f64, self.max_new_tokens > 0, "at least 1"),
            ("min_new_tokens", self.min_new_tokens as f64, self.min_new_tokens <= self.max_new_tokens, "at most max_new_tokens"),
            (
                "temperature",
                self.temperature,
                self.temperature.is_finite() && self.temperature > 0.0,
                "above 0 (greedy is do_sample: false)",
            ),
            ("top_p", self.top_p, self.top_p > 0.0 && self.top_p <= 1.0, "above 0 and at most 1"),
            ("min_p", self.min_p, (0.0..=1.0).contains(&self.min_p), "from 0 to 1"),
            (
                "repetition_penalty",
                self.repetition_penalty,
                self.repetition_penalty.is_finite() && self.repetition_penalty > 0.0,
                "above 0",
            ),
            ("num_beams", self.num_beams as f64, self.num_beams > 0, "at least 1"),
            ("num_beams", self.num_beams as f64, self.num_beams == 1 || !self.do_sample, "1 when do_sample is true"),
            ("num_beams", self.num_beams as f64, self.num_beams == 1 || self.stop_strings.is_empty(), "1 when there are stop_strings"),
            ("length_penalty", self.length_penalty, self.length_penalty.is_finite(), "a finite number"),
            ("num_return_sequences", self.num_return_sequences as f64, self.num_return_sequences > 0, "at least 1"),
            (
                "num_return_sequences",
                self.num_return_sequences as f64,
                self.do_sample || self.num_return_sequences <= self.num_beams.max(1),
                "at most num_beams, or do_sample true: a greedy text is always the same",
            ),
        ];
        match checks.iter().find(|(_, _, valid, _)| !valid) {
            Some((field, value, _, allowed)) => {
                Err(Error::new(ErrorKind::Model, format!("GenerationConfig: {field} is {value}; it must be {allowed}"))
                    .hint(format!("change `{field}` in the cell that makes the configuration")))
            }
            None => Ok(()),
        }
    }

    /// Whether the next id is that of the highest logit as it is, after so many ids were `written`.
    pub(crate) fn takes_the_best(&self, written: usize) -> bool {
        !self.do_sample && self.repetition_penalty == 1.0 && self.no_repeat_ngram_size == 0 && written >= self.min_new_tokens
    }

    /// Changes logits by what was read and written so far: repetition penalty, then forbidden runs, then, while fewer than
    /// `min_new_tokens` ids are `written`, no end.
    pub fn penalise(&self, logits: &mut [f32], past: &[u32], written: usize) {
        if self.repetition_penalty != 1.0 {
            let penalty = self.repetition_penalty as f32;
            let mut seen: Vec<u32> = past.to_vec();
            seen.sort_unstable();
            seen.dedup();
            for id in seen {
                let logit = &mut logits[id as usize];
                *logit = if *logit < 0.0 { *logit * penalty } else { *logit / penalty };
            }
        }
        let size = self.no_repeat_ngram_size;
        if size > 0 && past.len() + 1 >= size {
            let start = &past[past.len() + 1 - size..];
            for run in past.windows(size).filter(|run| run[..size - 1] == *start) {
                logits[run[size - 1] as usize] = f32::NEG_INFINITY;
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
    pub fn filter(&self, logits: &mut [f32]) {
        let temperature = self.temperature as f32;
        logits.iter_mut().for_each(|logit| *logit /= temperature);
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

    /// The next id, from logits that were penalised.
    pub fn choose(&self, mut logits: Vec<f32>, random: &mut Pcg64) -> u32 {
        if !self.do_sample {
            return argmax(&logits);
        }
        self.filter(&mut logits);
        let probabilities = softmax(&logits);
        let mut rest = random.next_f64();
        for (id, p) in probabilities.iter().enumerate() {
            rest -= p;
            if rest < 0.0 {
                return id as u32;
            }
        }
        argmax(&logits)
    }
}

/// What was generated after one prompt.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Generation {
    /// The new ids, the one that ended the text included.
    pub ids: Vec<u32>,
    /// The logarithm of each new id's probability, before penalties and filters.
    pub log_probabilities: Vec<f64>,
    /// Whether an end id or a stop string ended it, and not the limit of tokens.
    pub ended: bool,
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
pub fn rows(logits: &Tensor) -> Result<Vec<Vec<f32>>> {
    Ok(logits.to_dtype(candle_core::DType::F32)?.to_vec2()?)
}
