//! The metadata of a `.gguf` file → the `config.json` of the checkpoint that it was made from.
//!
//! What llama.cpp knows of a family without metadata is written here as its source has it.

use candle_core::quantized::gguf_file::{Content, Value as Stored};
use serde_json::{Value, json};

use crate::border;
use crate::formats::gguf::ends::{end_ids, integer};
use crate::models::config::Config;
use crate::util::names::quoted;

/// `general.architecture`; `model_type` and class of transformers. Mistral's files say `llama`.
pub(crate) const FAMILIES: [(&str, &str, &str); 9] = [
    ("llama", "llama", "LlamaForCausalLM"),
    ("qwen2", "qwen2", "Qwen2ForCausalLM"),
    ("qwen3", "qwen3", "Qwen3ForCausalLM"),
    ("gemma", "gemma", "GemmaForCausalLM"),
    ("gemma2", "gemma2", "Gemma2ForCausalLM"),
    ("gemma3", "gemma3_text", "Gemma3ForCausalLM"),
    ("phi2", "phi", "PhiForCausalLM"),
    ("phi3", "phi3", "Phi3ForCausalLM"),
    ("gptneox", "gpt_neox", "GPTNeoXForCausalLM"),
];

/// The entry of this crate's own with `rope_scaling` as a `config.json` has it, beside factors that are rounded.
pub(crate) const ROPE: &str = "finetuning.rope_scaling";

/// The shape that the metadata tell; `factors` are those of the rotary frequencies, where the file holds a tensor of them. `Err`
/// says what is not known.
pub fn config(content: &Content, factors: Option<Vec<f32>>) -> Result<Config, String> {
    let architecture = content.metadata.get("general.architecture").and_then(|value| value.to_string().ok());
    let architecture = architecture.map_or("absent", String::as_str);
    let Some((_, family, class)) = FAMILIES.iter().find(|(theirs, ..)| *theirs == architecture) else {
        let known: Vec<String> = FAMILIES.iter().map(|(theirs, ..)| theirs.to_string()).collect();
        return Err(format!("general.architecture is `{architecture}`; this crate knows {}", quoted(&known)));
    };
    let file = Metadata { content, architecture };
    if let Some(parts) = content.metadata.get("split.count").and_then(integer).filter(|parts| *parts > 1) {
        return Err(format!("it is one of {parts} parts of a model; this crate reads models in one part"));
    }
    if file.number("expert_count").is_some_and(|experts| experts > 0) {
        return Err("it is a mixture of experts".into());
    }
    let (width, heads) = (file.needed("embedding_length")?, file.needed("attention.head_count")?.max(1));
    let size = file.number("attention.key_length").unwrap_or(width / heads);
    let has = |name: &str| content.tensor_infos.contains_key(name);
    let words = content.tensor_infos.get("token_embd.weight").and_then(|info| info.shape.dims().first().copied());
    let mut config = json!({
        "architectures": [class], "model_type": family, "vocab_size": words, "hidden_size": width,
        "intermediate_size": file.needed("feed_forward_length")?, "num_hidden_layers": file.needed("block_count")?,
        "num_attention_heads": heads, "num_key_value_heads": file.number("attention.head_count_kv").unwrap_or(heads),
        "max_position_embeddings": file.needed("context_length")?, "tie_word_embeddings": !has("output.weight"),
        "rope_theta": file.float("rope.freq_base").unwrap_or(if *family == "gemma3_text" { 1e6 } else { 1e4 }),
    });
    if let Some(id) = content.metadata.get("tokenizer.ggml.bos_token_id").and_then(integer) {
        config["bos_token_id"] = id.into();
    }
    match end_ids(&content.metadata).as_slice() {
        [] => {}
        [id] => config["eos_token_id"] = (*id).into(),
        ids => config["eos_token_id"] = ids.into(),
    }
    // What is absent stays absent: the family's own default holds.
    let mut set = |name: &str, value: Value| {
        if !value.is_null() {
            config[name] = value;
        }
    };
    set("rope_scaling", file.stretch(factors)?);
    let rms = file.float("attention.layer_norm_rms_epsilon").unwrap_or(1e-5);
    let turned = file.number("rope.dimension_count").map_or(1.0, |turned| turned as f64 / size.max(1) as f64);
    if turned != 1.0 && !["gpt_neox", "phi", "phi3"].contains(family) {
        return Err(format!(
            "rope.dimension_count is {} of a head's {size} dimensions; in this family all of them turn",
            turned * size as f64
        ));
    }
    match *family {
        "gpt_neox" => {
            set("layer_norm_eps", json!(file.float("attention.layer_norm_epsilon").unwrap_or(1e-5)));
            set("use_parallel_residual", json!(file.flag("use_parallel_residual")));
            set("rotary_pct", json!(turned));
            set("rotary_emb_base", json!(file.float("rope.freq_base").unwrap_or(1e4)));
        }
        "phi" => {
            set("layer_norm_eps", json!(file.float("attention.layer_norm_epsilon").unwrap_or(1e-5)));
            set("partial_rotary_factor", json!(turned));
        }
        "phi3" => {
            set("rms_norm_eps", json!(rms));
            set("partial_rotary_factor", json!(turned));
            set("original_max_position_embeddings", json!(file.number("rope.scaling.original_context_length")));
            set("sliding_window", json!(file.number("attention.sliding_window").filter(|window| *window > 0)));
        }
        _ => {
            set("rms_norm_eps", json!(rms));
            set("head_dim", json!(size));
        }
    }
    match *family {
        "llama" => {
            set("attention_bias", json!(has("blk.0.attn_q.bias")));
            set("mlp_bias", json!(has("blk.0.ffn_up.bias")));
        }
        "gemma2" | "gemma3_text" => {
            set("sliding_window", json!(file.number("attention.sliding_window")));
            set("attn_logit_softcapping", json!(file.float("attn_logit_softcapping")));
            set("final_logit_softcapping", json!(file.float("final_logit_softcapping")));
            // The sizes that llama.cpp calls 27B divide the scores by the root of another number.
            let whole = [("gemma2", 46), ("gemma3_text", 62)].contains(&(*family, file.needed("block_count")?));
            set("query_pre_attn_scalar", json!(if whole { width / heads } else { size }));
            if *family == "gemma3_text" {
                set("sliding_window_pattern", json!(file.number("attention.sliding_window_pattern").unwrap_or(6)));
                set("rope_local_base_freq", json!(file.float("rope.freq_base_swa").unwrap_or(1e4)));
            }
        }
        _ => {}
    }
    Config::from_value(config)
}

struct Metadata<'a> {
    content: &'a Content,
    architecture: &'a str,
}

impl Metadata<'_> {
    fn get(&self, key: &str) -> Option<&Stored> {
        self.content.metadata.get(&format!("{}.{key}", self.architecture))
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.get(key).and_then(integer)
    }

    fn needed(&self, key: &str) -> Result<u64, String> {
        self.number(key).ok_or_else(|| format!("{}.{key} is missing from its metadata, or no single number", self.architecture))
    }

    /// Written as text, an f32 is the number that its author meant: 1e-5 and not 9.999999747378752e-6.
    fn float(&self, key: &str) -> Option<f64> {
        self.get(key)?.to_f32().ok()?.to_string().parse().ok()
    }

    fn flag(&self, key: &str) -> Option<bool> {
        self.get(key)?.to_bool().ok()
    }

    /// `rope_scaling`; null where positions are not stretched.
    fn stretch(&self, factors: Option<Vec<f32>>) -> Result<Value, String> {
        if let Some(whole) = self.content.metadata.get(ROPE).and_then(|whole| whole.to_string().ok()) {
            return border::json::value(whole.as_bytes()).map_err(|error| format!("{ROPE} is no JSON: {error}"));
        }
        if let Some(factors) = factors {
            // Llama 3's factors hold at all positions, Phi-3's short ones up to the original positions.
            let positions = self.number("rope.scaling.original_context_length").filter(|_| self.architecture == "phi3");
            let positions = positions.map_or_else(|| self.needed("context_length"), Ok)?;
            let attention = self.float("rope.scaling.attn_factor").unwrap_or(1.0);
            let factors: Vec<f64> = factors.into_iter().map(f64::from).collect();
            return Ok(json!({
                "rope_type": "longrope", "short_factor": factors, "long_factor": factors, "attention_factor": attention,
                "original_max_position_embeddings": positions,
            }));
        }
        let old = self.float("rope.scale_linear").filter(|factor| *factor != 1.0);
        match (self.get("rope.scaling.type").and_then(|kind| kind.to_string().ok()).map(String::as_str), old) {
            (None | Some("none"), None) => Ok(Value::Null),
            (None | Some("none"), Some(factor)) => Ok(json!({ "rope_type": "linear", "factor": factor })),
            (Some("linear"), _) => {
                let factor = self.float("rope.scaling.factor").ok_or("rope.scaling.factor is missing from its metadata")?;
                Ok(json!({ "rope_type": "linear", "factor": factor }))
            }
            (Some(other), _) => Err(format!("its rotary positions are stretched by the method `{other}`; this crate knows `linear`")),
        }
    }
}
