//! What is asked of a generation → the settings that the sampler and the loop read, checked before anything is computed.

use std::path::Path;

use serde_json::Value;

use crate::border::{json, limits};
use crate::error::{Error, ErrorKind, Result};
use crate::models::causal::CausalLm;
use crate::tokenizer::text::Tokenizer;

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
    /// Ids that end a text; they are kept. Default none; where a tokenizer is given, the model's own come to them. Any id may
    /// stand here: what other programs call `stop_token_ids`.
    pub eos_token_id: Vec<u32>,
    /// Texts that end a text; they are kept. A special token counts by its name, such as `<|im_end|>`. Default none.
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
    ///
    /// # Errors
    /// When a value is out of its range, or would have no effect beside the others.
    pub fn validate(&self) -> Result<()> {
        let Some((field, message)) = self.invalid() else { return Ok(()) };
        Err(Error::new(ErrorKind::Model, format!("GenerationConfig: {message}"))
            .hint(format!("change `{field}` in the cell that makes the configuration")))
    }

    /// The first field whose value cannot work, and why.
    pub(crate) fn invalid(&self) -> Option<(&'static str, String)> {
        const ABOVE: &str = "above 0 (greedy is do_sample: false)";
        const SAMPLED: &str = "left at its default unless do_sample is true: a greedy text does not depend on it";
        let above = |value: f64| value.is_finite() && value > 0.0;
        let (beams, texts) = (self.num_beams as f64, self.num_return_sequences as f64);
        let checks = [
            ("max_new_tokens", self.max_new_tokens as f64, self.max_new_tokens > 0, "at least 1"),
            ("min_new_tokens", self.min_new_tokens as f64, self.min_new_tokens <= self.max_new_tokens, "at most max_new_tokens"),
            ("temperature", self.temperature, above(self.temperature), ABOVE),
            ("top_p", self.top_p, self.top_p > 0.0 && self.top_p <= 1.0, "above 0 and at most 1"),
            ("min_p", self.min_p, (0.0..=1.0).contains(&self.min_p), "from 0 to 1"),
            ("repetition_penalty", self.repetition_penalty, above(self.repetition_penalty), "above 0"),
            ("num_beams", beams, self.num_beams > 0, "at least 1"),
            ("num_beams", beams, self.num_beams == 1 || !self.do_sample, "1 when do_sample is true"),
            ("num_beams", beams, self.num_beams == 1 || self.stop_strings.is_empty(), "1 when there are stop_strings"),
            ("length_penalty", self.length_penalty, self.length_penalty.is_finite(), "a finite number"),
            ("num_return_sequences", texts, self.num_return_sequences > 0, "at least 1"),
            (
                "num_return_sequences",
                texts,
                self.do_sample || self.num_return_sequences <= self.num_beams.max(1),
                "at most num_beams, or do_sample true: a greedy text is always the same",
            ),
            ("temperature", self.temperature, self.do_sample || self.temperature == 1.0, SAMPLED),
            ("top_k", self.top_k as f64, self.do_sample || [0, 50].contains(&self.top_k), SAMPLED),
            ("top_p", self.top_p, self.do_sample || self.top_p == 1.0, SAMPLED),
            ("min_p", self.min_p, self.do_sample || self.min_p == 0.0, SAMPLED),
        ];
        let (field, value, _, allowed) = checks.iter().find(|(_, _, valid, _)| !valid)?;
        Some((field, format!("{field} is {value}; it must be {allowed}")))
    }

    /// The same settings with the ids that end a text of this model besides: [`end_ids`].
    pub(crate) fn with_end_ids(mut self, model: &CausalLm, tokenizer: &Tokenizer) -> Result<Self> {
        self.eos_token_id.extend(end_ids(model, tokenizer)?);
        Ok(self)
    }
}

/// The ids that end a text of a model: those of its `config.json` and `generation_config.json`, and the tokenizer's.
pub(crate) fn end_ids(model: &CausalLm, tokenizer: &Tokenizer) -> Result<Vec<u32>> {
    let mut ids = model.config().eos_token_ids();
    ids.push(tokenizer.eos_id());
    for folder in [model.folder(), Some(tokenizer.folder())].into_iter().flatten() {
        let path = folder.join(FILE);
        ids.extend(self::ids(&path, &read(&path)?)?);
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

impl CausalLm {
    /// How the model's checkpoint asks to be continued: its `generation_config.json`, the defaults where it says nothing or there is
    /// none. As in transformers, what concerns drawing counts with `do_sample` alone.
    ///
    /// ```
    /// use finetuning::*;
    ///
    /// let model = AutoModelForCausalLM::from_pretrained("builtin:base")?;
    /// let config = GenerationConfig { max_new_tokens: 8, ..model.generation_config()? };
    /// # assert!(!config.do_sample);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Model`] for a file that is damaged, and for values that cannot work, by the field's name.
    pub fn generation_config(&self) -> Result<GenerationConfig> {
        let Some(path) = self.folder().map(|folder| folder.join(FILE)) else { return Ok(GenerationConfig::default()) };
        let (value, mut config) = (read(&path)?, GenerationConfig::default());
        let wrong = |field: &str, what: &str| Err(damaged(&path, format!("has {} as `{field}`; it must be {what}", value[field])));
        for (field, place) in [
            ("max_new_tokens", &mut config.max_new_tokens),
            ("min_new_tokens", &mut config.min_new_tokens),
            ("top_k", &mut config.top_k),
            ("no_repeat_ngram_size", &mut config.no_repeat_ngram_size),
            ("num_beams", &mut config.num_beams),
            ("num_return_sequences", &mut config.num_return_sequences),
        ] {
            match value[field].as_u64() {
                Some(number) => *place = number as usize,
                None if value[field].is_null() => {}
                None => return wrong(field, "a whole number"),
            }
        }
        for (field, place) in [
            ("temperature", &mut config.temperature),
            ("top_p", &mut config.top_p),
            ("min_p", &mut config.min_p),
            ("repetition_penalty", &mut config.repetition_penalty),
            ("length_penalty", &mut config.length_penalty),
        ] {
            match value[field].as_f64() {
                Some(number) => *place = number,
                None if value[field].is_null() => {}
                None => return wrong(field, "a number"),
            }
        }
        config.do_sample = value["do_sample"] == true;
        // `never` is a third way of beams, which ends no earlier than false.
        config.early_stopping = value["early_stopping"] == true;
        if !config.do_sample {
            let GenerationConfig { temperature, top_k, top_p, min_p, .. } = GenerationConfig::default();
            config = GenerationConfig { temperature, top_k, top_p, min_p, ..config };
        }
        config.eos_token_id = ids(&path, &value)?;
        match config.invalid() {
            Some((_, message)) => Err(damaged(&path, format!("cannot be obeyed: {message}"))),
            None => Ok(config),
        }
    }
}

const FILE: &str = "generation_config.json";
const AGAIN: &str = "fetch the checkpoint again";

fn damaged(path: &Path, what: String) -> Error {
    Error::new(ErrorKind::Model, format!("`{}` {what}", path.display())).hint(AGAIN).in_file(path)
}

/// A `generation_config.json`; null where there is none.
fn read(path: &Path) -> Result<Value> {
    let value: Option<Value> = json::read_if_there(path, limits::CONFIGURATION, ErrorKind::Model, AGAIN)?;
    Ok(value.unwrap_or_default())
}

/// Its `eos_token_id`, one id or a list.
fn ids(path: &Path, value: &Value) -> Result<Vec<u32>> {
    let id = |value: &Value| {
        let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
        id.ok_or_else(|| damaged(path, format!("has {value} as `eos_token_id`; it must be an id or a list of ids")))
    };
    match &value["eos_token_id"] {
        Value::Null => Ok(Vec::new()),
        Value::Array(ids) => ids.iter().map(id).collect(),
        value => Ok(vec![id(value)?]),
    }
}

/// How the next token is chosen: the two ways that [`GenerationConfig`] has, by its fields `do_sample`, `temperature`, `top_k` and `seed`.
#[deprecated(since = "0.1.0", note = "give a `GenerationConfig`: greedy is its default")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Decoding {
    /// Always the most probable token.
    Greedy,
    /// Drawn from the `top_k` most probable ones at a temperature (above 0), with a seed.
    Sample {
        /// Divides the logits: below 1 is more certain, above 1 more varied.
        temperature: f64,
        /// How many tokens are drawn from; 0 takes all.
        top_k: usize,
        /// The same seed gives the same text.
        seed: u64,
    },
}

#[expect(deprecated, reason = "the old name stays for one version")]
impl From<Decoding> for GenerationConfig {
    fn from(decoding: Decoding) -> Self {
        match decoding {
            Decoding::Greedy => Self::default(),
            Decoding::Sample { temperature, top_k, seed } => Self { do_sample: true, temperature, top_k, seed, ..Self::default() },
        }
    }
}
