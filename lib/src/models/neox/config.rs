//! `config.json` of the GPT-NeoX family: GPT-NeoX and Pythia.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::nn::rotary::RopeScaling;

/// The fields of a GPT-NeoX `config.json` that this crate uses; names and defaults are those of transformers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NeoxConfig {
    /// Must be `["GPTNeoXForCausalLM"]` or absent; written so that transformers opens our checkpoints.
    #[serde(default = "architectures")]
    pub architectures: Vec<String>,
    /// `gpt_neox`.
    pub model_type: String,
    /// Rows of the embedding, V; a padded vocabulary may exceed the tokenizer's.
    pub vocab_size: usize,
    /// Width of the residual stream, C.
    pub hidden_size: usize,
    /// Blocks, L.
    pub num_hidden_layers: usize,
    /// Heads, H; C must be a multiple.
    pub num_attention_heads: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Longest sequence.
    #[serde(default = "positions")]
    pub max_position_embeddings: usize,
    /// Part of each head that turns with the position.
    #[serde(default = "quarter")]
    pub rotary_pct: f64,
    /// Base of the rotary angles.
    #[serde(default = "base")]
    pub rotary_emb_base: f64,
    /// Added to the variance in layer norms.
    #[serde(default = "epsilon")]
    pub layer_norm_eps: f64,
    /// Attention and feed-forward read the same input (true) or one after the other.
    #[serde(default = "yes")]
    pub use_parallel_residual: bool,
    /// Only `gelu` is known.
    #[serde(default = "gelu")]
    pub hidden_act: String,
    /// Output weights shared with the embedding; must be false.
    #[serde(default)]
    pub tie_word_embeddings: bool,
    /// Bias terms in the attention; must be true.
    #[serde(default = "yes")]
    pub attention_bias: bool,
    /// Dropout after the embedding and after each half of a block, in training only.
    #[serde(default)]
    pub hidden_dropout: f64,
    /// First id of a sequence, kept for transformers.
    #[serde(default)]
    pub bos_token_id: u32,
    /// Ids that end a sequence; a single one is written as a number.
    #[serde(default = "first", deserialize_with = "read_ids", serialize_with = "write_ids")]
    pub eos_token_id: Vec<u32>,
    /// How positions are stretched over a longer context, as [`RopeScaling`] reads it; none where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope_scaling: Option<Value>,
    /// Number format of the stored weights.
    #[serde(default = "float32")]
    pub torch_dtype: String,
}

fn architectures() -> Vec<String> {
    vec!["GPTNeoXForCausalLM".into()]
}
fn positions() -> usize {
    2048
}
fn quarter() -> f64 {
    0.25
}
fn base() -> f64 {
    10_000.0
}
fn epsilon() -> f64 {
    1e-5
}
fn first() -> Vec<u32> {
    vec![0]
}
fn yes() -> bool {
    true
}
fn gelu() -> String {
    "gelu".into()
}
fn float32() -> String {
    "float32".into()
}

impl NeoxConfig {
    /// A model of this shape with a feed-forward layer of four times the width and GPT-NeoX's defaults otherwise.
    pub fn new(vocab_size: usize, hidden_size: usize, num_hidden_layers: usize, num_attention_heads: usize) -> Self {
        Self {
            architectures: architectures(),
            model_type: "gpt_neox".into(),
            vocab_size,
            hidden_size,
            num_hidden_layers,
            num_attention_heads,
            intermediate_size: 4 * hidden_size,
            max_position_embeddings: positions(),
            rotary_pct: quarter(),
            rotary_emb_base: base(),
            layer_norm_eps: epsilon(),
            use_parallel_residual: true,
            hidden_act: gelu(),
            tie_word_embeddings: false,
            attention_bias: true,
            hidden_dropout: 0.0,
            bos_token_id: 0,
            eos_token_id: first(),
            rope_scaling: None,
            torch_dtype: float32(),
        }
    }

    /// Reads and checks a `config.json`; `Err` says what is not known.
    ///
    /// # Errors
    /// What is not known, with the field and its value.
    pub fn from_value(mut value: Value) -> Result<Self, String> {
        modernise(&mut value);
        let config: Self = serde_json::from_value(value).map_err(|error| error.to_string())?;
        config.refusal()?;
        Ok(config)
    }

    /// Dimensions of one head.
    pub fn head_size(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }

    /// How positions are stretched; none where they are not.
    ///
    /// # Errors
    /// What of `rope_scaling` is not known.
    pub fn scaling(&self) -> Result<Option<RopeScaling>, String> {
        self.rope_scaling.as_ref().map_or(Ok(None), |rope| RopeScaling::from_config(rope, &Value::Null))
    }

    /// Longest sequence that this crate computes: `max_position_embeddings`, with `longrope` its original positions.
    pub fn positions(&self) -> usize {
        let bound = self.scaling().ok().flatten().and_then(|scaling| scaling.positions());
        self.max_position_embeddings.min(bound.unwrap_or(usize::MAX))
    }

    /// Dimensions of a head that turn with the position.
    pub fn rotary_dimensions(&self) -> usize {
        (self.head_size() as f64 * self.rotary_pct) as usize
    }

    pub(super) fn refusal(&self) -> Result<(), String> {
        if self.num_attention_heads == 0 || !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Err(format!("hidden_size {} is not a multiple of num_attention_heads {}", self.hidden_size, self.num_attention_heads));
        }
        let (turned, size) = (self.rotary_dimensions(), self.head_size());
        if !(0.0..=1.0).contains(&self.rotary_pct) || !turned.is_multiple_of(2) {
            return Err(format!("rotary_pct {} of a head of {size} dimensions is not even, or not within 0 and 1", self.rotary_pct));
        }
        if let Some(wrong) = self.scaling()?.and_then(|scaling| scaling.misfit(turned)) {
            return Err(wrong);
        }
        if self.hidden_act != "gelu" {
            return Err(format!("hidden_act is `{}`; this crate knows `gelu`", self.hidden_act));
        }
        if self.tie_word_embeddings || !self.attention_bias {
            return Err("tied embeddings and attention without bias are not known".into());
        }
        Ok(())
    }
}

/// One id or a list.
fn read_ids<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u32>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Ids {
        One(u32),
        Many(Vec<u32>),
    }
    Ok(match Ids::deserialize(from)? {
        Ids::One(id) => vec![id],
        Ids::Many(ids) => ids,
    })
}

fn write_ids<S: Serializer>(ids: &[u32], to: S) -> Result<S::Ok, S::Error> {
    match ids {
        [id] => to.serialize_u32(*id),
        ids => ids.serialize(to),
    }
}

/// transformers 5 keeps the rotary fields in `rope_parameters`.
fn modernise(value: &mut Value) {
    let rope = value["rope_parameters"].clone();
    for (old, new) in [("rotary_emb_base", "rope_theta"), ("rotary_pct", "partial_rotary_factor")] {
        if value[old].is_null() && rope[new].is_number() {
            value[old] = rope[new].clone();
        }
    }
    if value["rope_scaling"].is_null() && rope["rope_type"].is_string() && rope["rope_type"] != "default" {
        value["rope_scaling"] = rope;
    }
    if let Some(object) = value.as_object_mut() {
        object.retain(|_, field| !field.is_null());
    }
}
