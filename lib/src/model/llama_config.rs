//! `config.json` of the Llama family: Llama 2 and 3, SmolLM2, TinyLlama, Mistral, Qwen2.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::model::rotary::Stretch;

/// The fields that this crate uses, with transformers' names and defaults; all others are kept for the next reader.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LlamaConfig {
    /// `llama`, `mistral` or `qwen2`.
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
    /// Dimensions of a head; C / H where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_dim: Option<usize>,
    /// Only `silu` is known.
    #[serde(default = "silu")]
    pub hidden_act: String,
    /// Longest sequence.
    #[serde(default = "positions")]
    pub max_position_embeddings: usize,
    /// Added to the mean square in norms.
    #[serde(default = "epsilon")]
    pub rms_norm_eps: f64,
    /// Base of the rotary angles.
    #[serde(default = "base")]
    pub rope_theta: f64,
    /// Output weights shared with the embedding.
    #[serde(default)]
    pub tie_word_embeddings: bool,
    /// Bias terms in all four attention projections.
    #[serde(default)]
    pub attention_bias: bool,
    /// Bias terms in the feed-forward layer.
    #[serde(default)]
    pub mlp_bias: bool,
    /// How `rope_scaling` stretches the positions.
    #[serde(skip)]
    pub stretch: Option<Stretch>,
    /// Everything else of the file.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

fn silu() -> String {
    "silu".into()
}
fn positions() -> usize {
    2048
}
fn epsilon() -> f64 {
    1e-6
}
fn base() -> f64 {
    10_000.0
}

impl LlamaConfig {
    /// A Llama of this shape, with transformers' defaults otherwise.
    pub fn new(vocab_size: usize, hidden_size: usize, intermediate_size: usize, num_hidden_layers: usize, heads: [usize; 2]) -> Self {
        let mut others = Map::new();
        others.insert("architectures".into(), serde_json::json!(["LlamaForCausalLM"]));
        Self {
            model_type: "llama".into(),
            vocab_size,
            hidden_size,
            intermediate_size,
            num_hidden_layers,
            num_attention_heads: heads[0],
            num_key_value_heads: Some(heads[1]),
            head_dim: None,
            hidden_act: silu(),
            max_position_embeddings: positions(),
            rms_norm_eps: epsilon(),
            rope_theta: base(),
            tie_word_embeddings: false,
            attention_bias: false,
            mlp_bias: false,
            stretch: None,
            others,
        }
    }

    /// Reads and checks a `config.json`; `Err` says what is not known.
    pub fn from_value(mut value: Value) -> Result<Self, String> {
        let rope = if value["rope_parameters"].is_object() { value["rope_parameters"].clone() } else { value["rope_scaling"].clone() };
        if value["rope_theta"].is_null() && rope["rope_theta"].is_number() {
            value["rope_theta"] = rope["rope_theta"].clone();
        }
        if let Some(object) = value.as_object_mut() {
            object.retain(|_, field| !field.is_null());
        }
        let mut config: Self = serde_json::from_value(value).map_err(|error| error.to_string())?;
        config.stretch = Stretch::from_config(&rope)?;
        config.check()?;
        Ok(config)
    }

    /// Heads of keys and values, G.
    pub fn groups(&self) -> usize {
        self.num_key_value_heads.unwrap_or(self.num_attention_heads)
    }

    /// Longest sequence that this crate computes: within its window a sliding attention sees everything.
    pub fn positions(&self) -> usize {
        let off = self.model_type == "qwen2" && self.others.get("use_sliding_window") != Some(&Value::Bool(true));
        let window = self.others.get("sliding_window").and_then(Value::as_u64).filter(|_| !off);
        self.max_position_embeddings.min(window.map_or(usize::MAX, |window| window as usize))
    }

    /// Dimensions of one head, D.
    pub fn head_size(&self) -> usize {
        self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads.max(1))
    }

    /// Whether query, key and value have a bias: always in Qwen2.
    pub fn query_bias(&self) -> bool {
        self.attention_bias || self.model_type == "qwen2"
    }

    fn check(&self) -> Result<(), String> {
        let (heads, groups) = (self.num_attention_heads, self.groups());
        if heads == 0 || groups == 0 || !heads.is_multiple_of(groups) {
            return Err(format!("num_attention_heads {heads} is not a multiple of num_key_value_heads {groups}"));
        }
        if self.head_dim.is_none() && !self.hidden_size.is_multiple_of(heads) {
            return Err(format!("hidden_size {} is not a multiple of num_attention_heads {heads}", self.hidden_size));
        }
        if !self.head_size().is_multiple_of(2) {
            return Err(format!("a head of {} dimensions is not even", self.head_size()));
        }
        match self.hidden_act.as_str() {
            "silu" => Ok(()),
            other => Err(format!("hidden_act is `{other}`; this crate knows `silu` in this family")),
        }
    }
}
