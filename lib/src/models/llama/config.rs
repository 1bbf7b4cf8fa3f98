//! `config.json` of the Llama family: Llama 2 and 3, SmolLM2, TinyLlama, Mistral, Qwen2, Qwen3, Phi-3, Gemma 1 to 3.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::nn::rotary::{RopeScaling, Rotary};
use compute::cpu::activation::{GELU_TANH, SILU, Sigmoidal};
use compute::cpu::attention::Scores;

/// The fields that this crate uses, with transformers' names and defaults; all others are kept for the next reader.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LlamaConfig {
    /// `llama`, `mistral`, `qwen2`, `qwen3`, `phi3`, `gemma`, `gemma2` or `gemma3_text`.
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
    /// `silu`; in Gemma `gelu_pytorch_tanh`.
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
    /// Positions that a layer with a sliding window sees, its own included; which layers: [`LlamaConfig::window`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sliding_window: Option<usize>,
    /// `full_attention` or `sliding_attention` for each layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer_types: Option<Vec<String>>,
    /// Scores are divided by its root; D where absent (Gemma 2 and 3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_pre_attn_scalar: Option<usize>,
    /// Bound of the scores (Gemma 2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attn_logit_softcapping: Option<f64>,
    /// Bound of the logits (Gemma 2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_logit_softcapping: Option<f64>,
    /// Base of the rotary angles in layers with a sliding window, where it is another (Gemma 3).
    #[serde(skip)]
    pub local_rope_theta: Option<f64>,
    /// Part of a head that turns with the position (Phi-3).
    #[serde(skip)]
    pub rotary_part: Option<f64>,
    /// How `rope_scaling` stretches the positions.
    #[serde(skip)]
    pub stretch: Option<RopeScaling>,
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

/// What transformers takes where a field is absent and the family differs from Llama.
fn defaults(family: &str) -> Value {
    match family {
        "mistral" => json!({"num_key_value_heads": 8, "max_position_embeddings": 131_072, "sliding_window": 4096}),
        "qwen2" => json!({"num_key_value_heads": 32, "max_position_embeddings": 32_768, "sliding_window": 4096}),
        "qwen3" => json!({"num_key_value_heads": 32, "head_dim": 128, "max_position_embeddings": 32_768, "sliding_window": 4096}),
        "phi3" => json!({"max_position_embeddings": 4096, "rms_norm_eps": 1e-5}),
        "gemma" => json!({"num_key_value_heads": 16, "head_dim": 256, "hidden_act": "gelu_pytorch_tanh", "max_position_embeddings": 8192,
            "tie_word_embeddings": true}),
        "gemma2" => json!({"num_key_value_heads": 4, "head_dim": 256, "hidden_act": "gelu_pytorch_tanh", "max_position_embeddings": 8192,
            "tie_word_embeddings": true, "sliding_window": 4096, "query_pre_attn_scalar": 256, "attn_logit_softcapping": 50.0,
            "final_logit_softcapping": 30.0}),
        "gemma3_text" => json!({"num_key_value_heads": 4, "head_dim": 256, "hidden_act": "gelu_pytorch_tanh",
            "max_position_embeddings": 131_072, "tie_word_embeddings": true, "sliding_window": 4096, "query_pre_attn_scalar": 256,
            "rope_theta": 1_000_000.0, "rope_local_base_freq": 10_000.0}),
        _ => json!({}),
    }
}

impl LlamaConfig {
    /// A Llama of this shape, with transformers' defaults otherwise.
    pub fn new(vocab_size: usize, hidden_size: usize, intermediate_size: usize, num_hidden_layers: usize, heads: [usize; 2]) -> Self {
        let mut others = Map::new();
        others.insert("architectures".into(), json!(["LlamaForCausalLM"]));
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
            sliding_window: None,
            layer_types: None,
            query_pre_attn_scalar: None,
            attn_logit_softcapping: None,
            final_logit_softcapping: None,
            local_rope_theta: None,
            rotary_part: None,
            stretch: None,
            others,
        }
    }

    /// Reads and checks a `config.json`; `Err` says what is not known.
    ///
    /// # Errors
    /// What is not known, with the field and its value.
    pub fn from_value(mut value: Value) -> Result<Self, String> {
        let family = value["model_type"].as_str().unwrap_or_default().to_string();
        let rope = if value["rope_parameters"].is_object() { value["rope_parameters"].clone() } else { value["rope_scaling"].clone() };
        // Gemma 3 has parameters of its own for each kind of layer.
        let [full, local] = ["full_attention", "sliding_attention"].map(|kind| if rope[kind].is_object() { &rope[kind] } else { &rope });
        if value["rope_theta"].is_null() && full["rope_theta"].is_number() {
            value["rope_theta"] = full["rope_theta"].clone();
        }
        for (field, default) in defaults(&family).as_object().into_iter().flatten() {
            if value.get(field).is_none() || (field == "hidden_act" && value[field].is_null()) {
                value[field] = default.clone();
            }
        }
        if value["hidden_activation"].is_string() {
            value["hidden_act"] = value["hidden_activation"].clone();
        }
        let stretch = RopeScaling::from_config(full, &value)?;
        if !std::ptr::eq(full, local) && RopeScaling::from_config(local, &value)?.is_some() {
            return Err("rope_parameters stretch the layers with a sliding window; this crate stretches the others alone".into());
        }
        if let Some(object) = value.as_object_mut() {
            object.retain(|_, field| !field.is_null());
        }
        let part = value["partial_rotary_factor"].as_f64().or(rope["partial_rotary_factor"].as_f64());
        let local = value["rope_local_base_freq"].as_f64().filter(|_| std::ptr::eq(full, local)).or(local["rope_theta"].as_f64());
        let mut config: Self = serde_json::from_value(value).map_err(|error| error.to_string())?;
        config.stretch = stretch;
        config.rotary_part = part.filter(|_| family == "phi3");
        config.local_rope_theta = local.filter(|_| family == "gemma3_text");
        config.refusal()?;
        Ok(config)
    }

    /// Heads of keys and values, G.
    pub fn kv_heads(&self) -> usize {
        self.num_key_value_heads.unwrap_or(self.num_attention_heads)
    }

    /// Longest sequence that this crate computes: `max_position_embeddings`, in a model with `longrope` its original positions.
    pub fn positions(&self) -> usize {
        let bound = self.stretch.as_ref().and_then(RopeScaling::positions).unwrap_or(usize::MAX);
        self.max_position_embeddings.min(bound)
    }

    /// Dimensions of one head, D.
    pub fn head_size(&self) -> usize {
        self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads.max(1))
    }

    fn is(&self, families: &[&str]) -> bool {
        families.contains(&self.model_type.as_str())
    }

    /// Gemma: weights of norms are distances from 1, embeddings are scaled by √C.
    pub fn is_gemma(&self) -> bool {
        self.is(&["gemma", "gemma2", "gemma3_text"])
    }

    /// Whether each half of a block is normalised before and after: Gemma 2 and 3.
    pub fn has_outer_norms(&self) -> bool {
        self.is(&["gemma2", "gemma3_text"])
    }

    /// Whether the queries and keys of a head are normalised: Qwen3, Gemma 3.
    pub fn has_head_norms(&self) -> bool {
        self.is(&["qwen3", "gemma3_text"])
    }

    /// Whether query, key and value are one matrix, and gate and up another: Phi-3.
    pub fn is_fused(&self) -> bool {
        self.is(&["phi3"])
    }

    /// Whether query, key and value have a bias: always in Qwen2.
    pub fn query_bias(&self) -> bool {
        self.output_bias() || self.is(&["qwen2"])
    }

    /// Whether the attention's output projection has a bias.
    pub fn output_bias(&self) -> bool {
        self.attention_bias && !self.is(&["mistral", "qwen2", "phi3"])
    }

    /// Whether the feed-forward layer has biases.
    pub fn feed_forward_bias(&self) -> bool {
        self.mlp_bias && self.is(&["llama"])
    }

    /// The activation of the gate.
    pub fn activation(&self) -> Sigmoidal {
        if self.is_gemma() { GELU_TANH } else { SILU }
    }

    /// Positions that layer `index` sees; `None`: all before it.
    pub fn window(&self, index: usize) -> Option<usize> {
        let number = |name: &str, default: usize| self.others.get(name).and_then(Value::as_u64).map_or(default, |number| number as usize);
        let listed = self.layer_types.as_ref().map(|types| types[index] == "sliding_attention");
        let slides = match self.model_type.as_str() {
            "mistral" | "phi3" => true,
            "qwen2" | "qwen3" => {
                let on = self.others.get("use_sliding_window") == Some(&Value::Bool(true));
                on && listed.unwrap_or(index >= number("max_window_layers", 28))
            }
            "gemma2" => listed.unwrap_or(index.is_multiple_of(2)),
            "gemma3_text" => listed.unwrap_or(!(index + 1).is_multiple_of(number("sliding_window_pattern", 6).max(1))),
            _ => false,
        };
        self.sliding_window.filter(|_| slides)
    }

    /// What the queries of layer `index` make of the keys.
    pub fn scores(&self, index: usize) -> Scores {
        let size = self.query_pre_attn_scalar.filter(|_| self.has_outer_norms()).unwrap_or(self.head_size()) as f64;
        let cap = self.attn_logit_softcapping.filter(|_| self.is(&["gemma2"])).map(|cap| cap as f32);
        Scores { scale: (1.0 / size.sqrt()) as f32, cap, window: self.window(index) }
    }

    /// Bound of the logits.
    pub fn logit_cap(&self) -> Option<f32> {
        self.final_logit_softcapping.filter(|_| self.has_outer_norms()).map(|cap| cap as f32)
    }

    /// The rotary angles of layers without and with a sliding window, where these have their own.
    pub fn rotaries(&self) -> (Rotary, Option<Rotary>) {
        let dimensions = self.rotary_dimensions();
        let local = self.local_rope_theta.map(|base| Rotary::new(dimensions, base, None));
        (Rotary::new(dimensions, self.rope_theta, self.stretch.as_ref()), local)
    }

    pub(crate) fn rotary_dimensions(&self) -> usize {
        self.rotary_part.map_or(self.head_size(), |part| (self.head_size() as f64 * part) as usize)
    }

    pub(super) fn refusal(&self) -> Result<(), String> {
        let (heads, kv_heads) = (self.num_attention_heads, self.kv_heads());
        if heads == 0 || kv_heads == 0 || !heads.is_multiple_of(kv_heads) {
            return Err(format!("num_attention_heads {heads} is not a multiple of num_key_value_heads {kv_heads}"));
        }
        if self.head_dim.is_none() && !self.hidden_size.is_multiple_of(heads) {
            return Err(format!("hidden_size {} is not a multiple of num_attention_heads {heads}", self.hidden_size));
        }
        let turned = self.rotary_dimensions();
        if !turned.is_multiple_of(2) || turned > self.head_size() {
            return Err(format!("{turned} rotary dimensions of a head of {} are not even, or too many", self.head_size()));
        }
        if let Some(wrong) = self.stretch.as_ref().and_then(|stretch| stretch.misfit(turned)) {
            return Err(wrong);
        }
        for name in ["resid_pdrop", "embd_pdrop"] {
            if let Some(rate) = self.others.get(name).and_then(Value::as_f64).filter(|rate| *rate > 0.0) {
                return Err(format!("{name} is {rate}; this crate trains this family with 0, which you may write into config.json"));
            }
        }
        if self.sliding_window == Some(0) {
            return Err("sliding_window is 0; it must be at least 1, or null for none".into());
        }
        let types = self.layer_types.iter().flatten();
        if let Some(other) = types.clone().find(|kind| !["full_attention", "sliding_attention"].contains(&kind.as_str())) {
            return Err(format!("layer_types has `{other}`; this crate knows `full_attention` and `sliding_attention`"));
        }
        if self.layer_types.is_some() && types.count() != self.num_hidden_layers {
            return Err(format!("layer_types does not name {} layers", self.num_hidden_layers));
        }
        let known: &[&str] = match self.model_type.as_str() {
            // Gemma's first files say `gelu` and mean its tanh form.
            "gemma" => &["gelu_pytorch_tanh", "gelu_new", "gelu"],
            "gemma2" | "gemma3_text" => &["gelu_pytorch_tanh", "gelu_new"],
            _ => &["silu", "swish"],
        };
        match known.contains(&self.hidden_act.as_str()) {
            true => Ok(()),
            false => Err(format!("hidden_act is `{}`; this crate knows `{}` in this family", self.hidden_act, known[0])),
        }
    }
}
