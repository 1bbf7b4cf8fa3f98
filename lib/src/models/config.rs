//! `config.json` ↔ the shape of a model of one of the known families.

use std::path::Path;

use serde_json::Value;

use crate::border::{json, limits};
use crate::error::{Error, ErrorKind, Result};
use crate::models::family::Family;

pub use crate::models::llama::config::LlamaConfig;
pub use crate::models::neox::config::NeoxConfig;
pub use crate::models::phi::config::PhiConfig;

/// The families: `model_type` of a `config.json`.
pub const FAMILIES: [&str; 10] = ["gpt_neox", "llama", "mistral", "qwen2", "qwen3", "phi", "phi3", "gemma", "gemma2", "gemma3_text"];

/// The largest sizes that are computed.
const LARGEST: [(&str, u64); 10] = [
    ("vocab_size", limits::VOCABULARY),
    ("hidden_size", limits::HIDDEN),
    ("intermediate_size", limits::INTERMEDIATE),
    ("num_hidden_layers", limits::LAYERS),
    ("num_attention_heads", limits::HEADS),
    ("num_key_value_heads", limits::HEADS),
    ("head_dim", limits::HEADS),
    ("max_position_embeddings", limits::POSITIONS),
    ("original_max_position_embeddings", limits::POSITIONS),
    ("query_pre_attn_scalar", limits::HIDDEN),
];

/// Numbers that are divided by, or whose root or logarithm is taken.
const ABOVE_ZERO: [&str; 7] = [
    "rope_theta",
    "rotary_emb_base",
    "rope_local_base_freq",
    "layer_norm_eps",
    "rms_norm_eps",
    "attn_logit_softcapping",
    "final_logit_softcapping",
];

/// The shape of a model.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Config {
    /// GPT-NeoX, Pythia.
    Neox(NeoxConfig),
    /// Llama, SmolLM2, TinyLlama, Mistral, Qwen2, Qwen3, Phi-3, Gemma.
    Llama(LlamaConfig),
    /// Phi-1, Phi-1.5, Phi-2.
    Phi(PhiConfig),
}

impl Config {
    /// Reads and checks `config.json` of a checkpoint folder.
    ///
    /// # Errors
    /// [`ErrorKind::File`] where there is none; [`ErrorKind::Model`] for a family that is not known, and for what would change the
    /// numbers and this crate does not compute.
    pub fn from_folder(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        let refuse = |reason: String| Error::new(ErrorKind::Model, format!("`{}`: {reason}", path.display())).in_file(&path);
        let mut value: Value = json::read(&path, limits::CONFIGURATION, ErrorKind::Model, "fetch the checkpoint again")?;
        let family = value["model_type"].as_str().unwrap_or("absent").to_string();
        if !FAMILIES.contains(&family.as_str()) {
            let known = FAMILIES.map(|family| format!("`{family}`")).join(", ");
            return Err(refuse(format!("model_type is `{family}`; this crate knows {known}"))
                .hint("use a model of one of these families, such as `EleutherAI/pythia-70m`"));
        }
        // transformers 5 keeps the number format in `dtype`.
        if value["torch_dtype"].is_null() && value["dtype"].is_string() {
            value["torch_dtype"] = value["dtype"].clone();
        }
        if let Some((reason, hint)) = unhandled(&value) {
            return Err(refuse(reason).hint(hint));
        }
        Self::from_value(value)
            .map_err(|reason| refuse(reason).hint(format!("fetch the checkpoint again, or use another model of the family `{family}`")))
    }

    /// A `config.json` of one of [`FAMILIES`]; `Err` says what is not known.
    ///
    /// # Errors
    /// What is not known, with the field and its value.
    pub fn from_value(value: Value) -> std::result::Result<Self, String> {
        for (field, largest) in LARGEST.into_iter().filter(|(field, _)| value[*field].is_number()) {
            if !value[field].as_u64().is_some_and(|size| (1..=largest).contains(&size)) {
                return Err(format!("{field} is {}; this crate computes 1 to {largest}", value[field]));
            }
        }
        let number = |field: &&str| value[*field].as_f64().filter(|number| !(f64::from(f32::MIN_POSITIVE)..1e30).contains(number));
        for field in ["hidden_dropout", "resid_pdrop", "embd_pdrop"] {
            if value[field].as_f64().is_some_and(|rate| !(0.0..1.0).contains(&rate)) {
                return Err(format!("{field} is {}; it must be at least 0 and below 1", value[field]));
            }
        }
        if let Some((field, number)) = ABOVE_ZERO.iter().find_map(|field| Some((field, number(field)?))) {
            return Err(format!("{field} is {number}; it must be above 0 and below 1e30"));
        }
        match value["model_type"].as_str() {
            Some("gpt_neox") => NeoxConfig::from_value(value).map(Self::Neox),
            Some("phi") => PhiConfig::from_value(value).map(Self::Phi),
            _ => LlamaConfig::from_value(value).map(Self::Llama),
        }
    }

    /// What the family says of itself.
    pub fn family(&self) -> &dyn Family {
        match self {
            Self::Neox(config) => config,
            Self::Llama(config) => config,
            Self::Phi(config) => config,
        }
    }

    /// `config.json` as transformers reads it, for weights in this number format.
    pub fn to_value(&self, dtype: &str) -> Value {
        let mut value = self.family().to_value();
        value["torch_dtype"] = dtype.into();
        value
    }

    /// Words of the vocabulary, V; a padded vocabulary may exceed the tokenizer's.
    pub fn vocab_size(&self) -> usize {
        self.family().vocab_size()
    }

    /// Width of the residual stream, C.
    pub fn hidden_size(&self) -> usize {
        self.family().hidden_size()
    }

    /// Blocks, L.
    pub fn num_hidden_layers(&self) -> usize {
        self.family().num_hidden_layers()
    }

    /// Longest sequence, in tokens.
    pub fn max_position_embeddings(&self) -> usize {
        self.family().max_position_embeddings()
    }

    /// Whether the output projection is the embedding.
    pub fn tie_word_embeddings(&self) -> bool {
        self.family().tie_word_embeddings()
    }

    /// The name of the input embedding.
    pub fn embedding_name(&self) -> &'static str {
        self.family().embedding_name()
    }

    /// The name of the output projection, which may be the embedding.
    pub fn head_name(&self) -> &'static str {
        if self.tie_word_embeddings() { self.embedding_name() } else { self.family().head_name() }
    }

    /// The ids that end a text: `eos_token_id`, a number or a list.
    pub fn eos_token_ids(&self) -> Vec<u32> {
        let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        match self.family().eos_token_id() {
            Value::Array(ids) => ids.iter().filter_map(id).collect(),
            value => id(&value).into_iter().collect(),
        }
    }

    /// Dimensions of all heads of a layer together, H·D.
    pub fn attention_width(&self) -> usize {
        self.family().attention_width()
    }

    /// Names and shapes of all parameters, in the order of transformers' `state_dict`.
    pub fn parameter_shapes(&self) -> Vec<(String, Vec<usize>)> {
        self.family().parameter_shapes()
    }
}

/// A field that would change the numbers and is not handled in any family: why, and what to do.
fn unhandled(value: &Value) -> Option<(String, &'static str)> {
    if value["quantization_config"].is_object() {
        let kind = value["quantization_config"]["quant_method"].as_str().unwrap_or("unknown");
        return Some((
            format!("quantization_config: the weights are stored by the method `{kind}`; this crate reads F32, F16 and BF16"),
            "use the checkpoint that was quantised, and `quantized()` on it",
        ));
    }
    if value["use_bidirectional_attention"] == true {
        return Some(("use_bidirectional_attention is true; this crate knows causal attention".into(), "use a model that generates text"));
    }
    let dropped = value["attention_dropout"].as_f64().filter(|rate| *rate > 0.0)?;
    Some((
        format!("attention_dropout is {dropped}; this crate trains with 0"),
        "set attention_dropout to 0 in config.json: answers stay as they are, only training differs",
    ))
}

impl From<NeoxConfig> for Config {
    fn from(config: NeoxConfig) -> Self {
        Self::Neox(config)
    }
}

impl From<PhiConfig> for Config {
    fn from(config: PhiConfig) -> Self {
        Self::Phi(config)
    }
}

impl From<LlamaConfig> for Config {
    fn from(config: LlamaConfig) -> Self {
        Self::Llama(config)
    }
}
