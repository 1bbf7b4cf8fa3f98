//! `config.json` of the Phi family: Phi-1, Phi-1.5 and Phi-2. Phi-3 and later are Llama's relatives.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The fields that this crate uses, with transformers' names and defaults; all others are kept for the next reader.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PhiConfig {
    /// `phi`.
    pub model_type: String,
    /// Rows of the embedding, V.
    pub vocab_size: usize,
    /// Width of the residual stream, C.
    pub hidden_size: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Blocks, L.
    pub num_hidden_layers: usize,
    /// Heads of queries, H.
    pub num_attention_heads: usize,
    /// Heads of keys and values; as many as queries where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_key_value_heads: Option<usize>,
    /// Only `gelu_new` is known.
    #[serde(default = "gelu_new")]
    pub hidden_act: String,
    /// Longest sequence.
    #[serde(default = "positions")]
    pub max_position_embeddings: usize,
    /// Added to the variance in layer norms.
    #[serde(default = "epsilon")]
    pub layer_norm_eps: f64,
    /// Base of the rotary angles.
    #[serde(default = "base")]
    pub rope_theta: f64,
    /// Part of each head that turns with the position.
    #[serde(default = "half")]
    pub partial_rotary_factor: f64,
    /// Output weights shared with the embedding.
    #[serde(default)]
    pub tie_word_embeddings: bool,
    /// Dropout of the embedding, in training only.
    #[serde(default)]
    pub embd_pdrop: f64,
    /// Dropout after attention and after the feed-forward layer, in training only.
    #[serde(default)]
    pub resid_pdrop: f64,
    /// Everything else of the file.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

fn gelu_new() -> String {
    "gelu_new".into()
}
fn positions() -> usize {
    2048
}
fn epsilon() -> f64 {
    1e-5
}
fn base() -> f64 {
    10_000.0
}
fn half() -> f64 {
    0.5
}

impl PhiConfig {
    /// Reads and checks a `config.json`; `Err` says what is not known.
    ///
    /// # Errors
    /// What is not known, with the field and its value.
    pub fn from_value(mut value: Value) -> Result<Self, String> {
        let rope = if value["rope_parameters"].is_object() { value["rope_parameters"].clone() } else { value["rope_scaling"].clone() };
        for field in ["rope_theta", "partial_rotary_factor"] {
            if value[field].is_null() && rope[field].is_number() {
                value[field] = rope[field].clone();
            }
        }
        let kind = rope["rope_type"].as_str().or(rope["type"].as_str()).unwrap_or("default");
        if kind != "default" {
            return Err(format!("rope_scaling is of type `{kind}`; this crate knows `default` in this family"));
        }
        if value["qk_layernorm"] == true {
            return Err("qk_layernorm is true; this crate knows Phi without norms of queries and keys".into());
        }
        if let Some(object) = value.as_object_mut() {
            object.retain(|_, field| !field.is_null());
        }
        let config: Self = serde_json::from_value(value).map_err(|error| error.to_string())?;
        config.refusal()?;
        Ok(config)
    }

    /// Heads of keys and values, G.
    pub fn kv_heads(&self) -> usize {
        self.num_key_value_heads.unwrap_or(self.num_attention_heads)
    }

    /// Dimensions of one head, D.
    pub fn head_size(&self) -> usize {
        self.hidden_size / self.num_attention_heads.max(1)
    }

    /// Dimensions of a head that turn with the position.
    pub fn rotary_dimensions(&self) -> usize {
        (self.head_size() as f64 * self.partial_rotary_factor) as usize
    }

    pub(super) fn refusal(&self) -> Result<(), String> {
        let (heads, kv_heads) = (self.num_attention_heads, self.kv_heads());
        if heads == 0 || kv_heads == 0 || !heads.is_multiple_of(kv_heads) {
            return Err(format!("num_attention_heads {heads} is not a multiple of num_key_value_heads {kv_heads}"));
        }
        if !self.hidden_size.is_multiple_of(heads) {
            return Err(format!("hidden_size {} is not a multiple of num_attention_heads {heads}", self.hidden_size));
        }
        let (turned, size) = (self.rotary_dimensions(), self.head_size());
        if !turned.is_multiple_of(2) || turned > size {
            return Err(format!(
                "partial_rotary_factor {} of a head of {size} dimensions is not even, or too much",
                self.partial_rotary_factor
            ));
        }
        match self.hidden_act.as_str() {
            "gelu_new" | "gelu_pytorch_tanh" => Ok(()),
            other => Err(format!("hidden_act is `{other}`; this crate knows `gelu_new` in this family")),
        }
    }
}
