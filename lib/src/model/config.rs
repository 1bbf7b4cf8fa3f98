//! `config.json` ↔ the shape of a model of one of the known families.

use std::path::Path;

use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};

pub use crate::model::llama_config::LlamaConfig;
pub use crate::model::neox_config::NeoxConfig;

/// The families: `model_type` of a `config.json`.
pub const FAMILIES: [&str; 4] = ["gpt_neox", "llama", "mistral", "qwen2"];

/// The shape of a model.
#[derive(Debug, Clone, PartialEq)]
pub enum Config {
    /// GPT-NeoX, Pythia.
    Neox(NeoxConfig),
    /// Llama, SmolLM2, TinyLlama, Mistral, Qwen2.
    Llama(LlamaConfig),
}

impl Config {
    /// Reads and checks `config.json` of a checkpoint folder.
    pub fn from_folder(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        let bytes = std::fs::read(&path).map_err(|error| Error::file(&path, error))?;
        let refuse = |reason: String| Error::new(ErrorKind::Model, format!("`{}`: {reason}", path.display()));
        let mut value: Value = serde_json::from_slice(&bytes)
            .map_err(|error| refuse(format!("not valid JSON: {error}")).hint("fetch the checkpoint again"))?;
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
        let config = match family.as_str() {
            "gpt_neox" => NeoxConfig::from_value(value).map(Self::Neox),
            _ => LlamaConfig::from_value(value).map(Self::Llama),
        };
        config.map_err(|reason| refuse(reason).hint(format!("fetch the checkpoint again, or use another model of the family `{family}`")))
    }

    /// `config.json` as transformers reads it, for weights in this number format.
    pub fn to_value(&self, dtype: &str) -> Value {
        let mut value = match self {
            Self::Neox(config) => serde_json::to_value(config),
            Self::Llama(config) => serde_json::to_value(config),
        }
        .unwrap_or_default();
        value["torch_dtype"] = dtype.into();
        value
    }

    /// Words of the vocabulary, V; a padded vocabulary may exceed the tokenizer's.
    pub fn vocab_size(&self) -> usize {
        match self {
            Self::Neox(config) => config.vocab_size,
            Self::Llama(config) => config.vocab_size,
        }
    }

    /// Width of the residual stream, C.
    pub fn hidden_size(&self) -> usize {
        match self {
            Self::Neox(config) => config.hidden_size,
            Self::Llama(config) => config.hidden_size,
        }
    }

    /// Blocks, L.
    pub fn num_hidden_layers(&self) -> usize {
        match self {
            Self::Neox(config) => config.num_hidden_layers,
            Self::Llama(config) => config.num_hidden_layers,
        }
    }

    /// Longest sequence.
    pub fn max_position_embeddings(&self) -> usize {
        match self {
            Self::Neox(config) => config.max_position_embeddings,
            Self::Llama(config) => config.positions(),
        }
    }

    /// Whether the output projection is the embedding.
    pub fn tie_word_embeddings(&self) -> bool {
        match self {
            Self::Neox(config) => config.tie_word_embeddings,
            Self::Llama(config) => config.tie_word_embeddings,
        }
    }

    /// The ids that end a text: `eos_token_id`, a number or a list.
    pub fn eos_token_ids(&self) -> Vec<u32> {
        let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        match self {
            Self::Neox(config) => vec![config.eos_token_id],
            Self::Llama(config) => match config.others.get("eos_token_id") {
                Some(Value::Array(ids)) => ids.iter().filter_map(id).collect(),
                Some(value) => id(value).into_iter().collect(),
                None => Vec::new(),
            },
        }
    }

    /// Dimensions of all heads of a layer together.
    pub fn attention_width(&self) -> usize {
        match self {
            Self::Neox(config) => config.hidden_size,
            Self::Llama(config) => config.num_attention_heads * config.head_size(),
        }
    }
}

impl From<NeoxConfig> for Config {
    fn from(config: NeoxConfig) -> Self {
        Self::Neox(config)
    }
}

impl From<LlamaConfig> for Config {
    fn from(config: LlamaConfig) -> Self {
        Self::Llama(config)
    }
}
