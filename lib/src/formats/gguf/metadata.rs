//! The shape of a model → the metadata of its `.gguf` file, as llama.cpp's converter writes them; refused where they would say
//! another model.
//!
//! What is written is read again before it is accepted: the file must mean the same layers here.

use std::collections::HashMap;

use candle_core::Shape;
use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::{Content, TensorInfo, Value as Stored, VersionedMagic};
use serde_json::{Value, json};

use crate::formats::gguf::config::{self, FAMILIES, ROPE};
use crate::formats::gguf::layout::{FACTORS, stored_name};
use crate::models::config::{Config, LlamaConfig};
use crate::nn::rotary::{RopeScaling, Rotary};
use crate::util::notice;

/// What a file says of a model besides its weights.
#[derive(Debug)]
pub(crate) struct Description {
    /// llama.cpp's name of the family.
    pub architecture: &'static str,
    /// The entries, without those of the tokenizer.
    pub metadata: Vec<(String, Stored)>,
    /// Factors of the rotary frequencies, which llama.cpp reads as tensors.
    pub factors: Vec<(&'static str, Vec<f32>)>,
}

/// The description of a model; `Err` says what of it the format cannot hold.
pub(crate) fn describe(config: &Config) -> Result<Description, String> {
    let family = config.to_value("float32")["model_type"].as_str().unwrap_or_default().to_string();
    // Mistral's files say `llama`.
    let family = if family == "mistral" { "llama".to_string() } else { family };
    let Some(&(architecture, ..)) = FAMILIES.iter().find(|(_, ours, _)| *ours == family) else {
        return Err(format!("llama.cpp has no family like `{family}`"));
    };
    let mut entries = Entries { architecture, metadata: Vec::new(), factors: Vec::new() };
    entries.text("general.architecture", architecture);
    entries.text("general.type", "model");
    match config {
        Config::Llama(config) => entries.llama(config)?,
        Config::Neox(neox) => {
            entries.common([neox.positions(), neox.hidden_size, neox.num_hidden_layers, neox.intermediate_size], neox.num_attention_heads);
            entries.number("rope.dimension_count", neox.rotary_dimensions());
            entries.float("rope.freq_base", neox.rotary_emb_base);
            entries.float("attention.layer_norm_epsilon", neox.layer_norm_eps);
            entries.own("use_parallel_residual", Stored::Bool(neox.use_parallel_residual));
            entries.stretch(neox.scaling()?.as_ref(), neox.rotary_dimensions(), neox.rotary_emb_base)?;
        }
        Config::Phi(phi) => {
            if phi.tie_word_embeddings {
                return Err("tie_word_embeddings is true; in llama.cpp this family has an output projection of its own".into());
            }
            entries.common(
                [phi.max_position_embeddings, phi.hidden_size, phi.num_hidden_layers, phi.intermediate_size],
                phi.num_attention_heads,
            );
            entries.number("attention.head_count_kv", phi.kv_heads());
            entries.number("rope.dimension_count", phi.rotary_dimensions());
            entries.float("rope.freq_base", phi.rope_theta);
            entries.float("attention.layer_norm_epsilon", phi.layer_norm_eps);
        }
    }
    entries.number("vocab_size", config.vocab_size());
    let Entries { architecture, metadata, factors } = entries;
    let description = Description { architecture, metadata, factors };
    let wrong = differences(config, &description)?;
    match wrong.is_empty() {
        true => Ok(description),
        false => Err(format!("a file of llama.cpp's family `{architecture}` would say another model: {}", wrong.join("; "))),
    }
}

struct Entries {
    architecture: &'static str,
    metadata: Vec<(String, Stored)>,
    factors: Vec<(&'static str, Vec<f32>)>,
}

impl Entries {
    fn text(&mut self, name: &str, text: &str) {
        self.metadata.push((name.into(), Stored::String(text.into())));
    }

    fn own(&mut self, name: &str, value: Stored) {
        self.metadata.push((format!("{}.{name}", self.architecture), value));
    }

    fn number(&mut self, name: &str, number: usize) {
        self.own(name, Stored::U32(u32::try_from(number).unwrap_or(u32::MAX)));
    }

    fn float(&mut self, name: &str, number: f64) {
        self.own(name, Stored::F32(number as f32));
    }

    /// Positions, width, layers and inner width; heads.
    fn common(&mut self, sizes: [usize; 4], heads: usize) {
        let names = ["context_length", "embedding_length", "block_count", "feed_forward_length"];
        names.iter().zip(sizes).for_each(|(name, size)| self.number(name, size));
        self.number("attention.head_count", heads);
    }

    fn llama(&mut self, llama: &LlamaConfig) -> Result<(), String> {
        let is = |families: &[&str]| families.contains(&llama.model_type.as_str());
        let (size, turned) = (llama.head_size(), llama.rotary_dimensions());
        if is(&["qwen3", "gemma", "gemma2", "gemma3_text"]) && llama.attention_bias {
            return Err(format!("attention_bias is true; in llama.cpp `{}` has none", self.architecture));
        }
        if is(&["gemma", "gemma2"]) && !llama.tie_word_embeddings {
            return Err(format!("tie_word_embeddings is false; in llama.cpp `{}` has no output projection of its own", self.architecture));
        }
        if is(&["qwen2"]) && size * llama.num_attention_heads != llama.hidden_size {
            return Err(format!("head_dim is {size}; in llama.cpp `qwen2` has heads of hidden_size / num_attention_heads"));
        }
        self.common([positions(llama), llama.hidden_size, llama.num_hidden_layers, llama.intermediate_size], llama.num_attention_heads);
        self.number("attention.head_count_kv", llama.kv_heads());
        self.float("attention.layer_norm_rms_epsilon", llama.rms_norm_eps);
        self.number("rope.dimension_count", turned);
        self.float("rope.freq_base", llama.rope_theta);
        if !is(&["phi3"]) {
            self.number("attention.key_length", size);
            self.number("attention.value_length", size);
        }
        if is(&["phi3"]) {
            if let Some(window) = llama.sliding_window.filter(|window| *window < llama.positions()) {
                notice::warn(format_args!(
                    "llama.cpp computes no sliding window in `phi3`: texts of more than {window} tokens it continues otherwise than this crate"
                ));
            }
            // 0 tells llama.cpp that it is no other model of the family.
            self.number("attention.sliding_window", llama.sliding_window.unwrap_or(0));
            let original = llama.others.get("original_max_position_embeddings").and_then(Value::as_u64).map(|number| number as usize);
            self.number("rope.scaling.original_context_length", original.unwrap_or(llama.positions()));
        }
        if llama.has_outer_norms() {
            if let Some(window) = llama.sliding_window {
                self.number("attention.sliding_window", window);
            }
            for (name, cap) in
                [("attn_logit_softcapping", llama.attn_logit_softcapping), ("final_logit_softcapping", llama.final_logit_softcapping)]
            {
                if let Some(cap) = cap {
                    self.float(name, cap);
                }
            }
        }
        if is(&["gemma3_text"]) {
            let whole = (0..llama.num_hidden_layers).find(|&layer| llama.window(layer).is_none());
            self.number("attention.sliding_window_pattern", whole.unwrap_or(llama.num_hidden_layers) + 1);
            self.float("rope.freq_base_swa", llama.local_rope_theta.unwrap_or(llama.rope_theta));
        }
        self.stretch(llama.stretch.as_ref(), turned, llama.rope_theta)?;
        if let (Some(RopeScaling::Long { factors, .. }), true) = (&llama.stretch, is(&["phi3"])) {
            // For texts beyond the original positions, which llama.cpp computes.
            let rope = ["rope_scaling", "rope_parameters"].iter().filter_map(|name| llama.others.get(*name));
            let long = rope.filter_map(|rope| rope["long_factor"].as_array()).next();
            let long = long.map_or_else(|| factors.clone(), |long| long.iter().filter_map(Value::as_f64).collect());
            if long.len() != factors.len() {
                return Err(format!("rope_scaling has {} numbers in long_factor and {} in short_factor", long.len(), factors.len()));
            }
            self.factors.push((FACTORS[2], long.into_iter().map(|factor| factor as f32).collect()));
        }
        Ok(())
    }

    /// How positions are stretched. Where llama.cpp has rounded factors, the numbers that they come from stand beside them.
    fn stretch(&mut self, stretch: Option<&RopeScaling>, turned: usize, base: f64) -> Result<(), String> {
        let whole = match stretch {
            None => return Ok(()),
            Some(RopeScaling::Linear(factor)) => {
                self.own("rope.scaling.type", Stored::String("linear".into()));
                self.float("rope.scaling.factor", *factor);
                return Ok(());
            }
            Some(scaling @ RopeScaling::Llama3 { factor, low, high, original_positions }) if self.architecture == "llama" => {
                let factors = (0..turned / 2).map(|index| {
                    let frequency = 1.0 / base.powf(2.0 * index as f64 / turned as f64);
                    (frequency / scaling.apply(index, frequency)) as f32
                });
                self.factors.push((FACTORS[0], factors.collect()));
                json!({ "rope_type": "llama3", "factor": factor, "low_freq_factor": low, "high_freq_factor": high,
                    "original_max_position_embeddings": original_positions })
            }
            // Llama's are those of a file of llama.cpp's that was read.
            Some(RopeScaling::Long { factors, attention, original_positions })
                if self.architecture == "phi3" || self.architecture == "llama" && *attention == 1.0 =>
            {
                let name = FACTORS[usize::from(self.architecture == "phi3")];
                self.factors.push((name, factors.iter().map(|factor| *factor as f32).collect()));
                if self.architecture == "phi3" {
                    self.float("rope.scaling.attn_factor", *attention);
                }
                json!({ "rope_type": "longrope", "short_factor": factors, "long_factor": factors, "attention_factor": attention,
                    "original_max_position_embeddings": original_positions })
            }
            Some(other) => return Err(format!("rope_scaling is {other:?}; llama.cpp does not stretch `{}` so", self.architecture)),
        };
        self.text(ROPE, &whole.to_string());
        Ok(())
    }
}

/// The longest text of the file. llama.cpp's `llama` and `qwen` look back at all positions: a model with a sliding window is
/// the same up to its width.
fn positions(llama: &LlamaConfig) -> usize {
    let slides = (0..llama.num_hidden_layers).filter_map(|layer| llama.window(layer)).min();
    match slides.filter(|_| !llama.has_outer_norms() && !llama.is_fused()) {
        Some(window) => window.min(llama.max_position_embeddings),
        None => llama.max_position_embeddings,
    }
}

/// What the description, read as any file is, says otherwise than the model.
fn differences(config: &Config, description: &Description) -> Result<Vec<String>, String> {
    let tensor = |(name, shape): (String, Vec<usize>)| {
        let info = TensorInfo { ggml_dtype: GgmlDType::F32, shape: Shape::from(shape), offset: 0 };
        (stored_name(config, &name), info)
    };
    let content = Content {
        magic: VersionedMagic::GgufV3,
        metadata: description.metadata.iter().cloned().collect::<HashMap<_, _>>(),
        tensor_infos: config.parameter_shapes().into_iter().map(tensor).collect(),
        tensor_data_offset: 0,
    };
    let read = config::config(&content, description.factors.first().map(|(_, factors)| factors.clone()))?;
    let mut wrong = Vec::new();
    let mut compare = |name: &str, ours: String, theirs: String| {
        if ours != theirs {
            wrong.push(format!("{name} {theirs} in place of {ours}"));
        }
    };
    let other = config.parameter_shapes().into_iter().zip(read.parameter_shapes()).find(|(ours, theirs)| ours != theirs);
    if let Some((ours, theirs)) = other {
        compare("parameter", format!("{ours:?}"), format!("{theirs:?}"));
    }
    compare("parameters", config.parameter_shapes().len().to_string(), read.parameter_shapes().len().to_string());
    match (config, &read) {
        (Config::Llama(ours), Config::Llama(theirs)) => {
            let facts = |config: &LlamaConfig| {
                let reach = positions(ours);
                let scores = (0..config.num_hidden_layers).map(|layer| {
                    let scores = config.scores(layer);
                    (scores.scale, scores.cap, scores.window.filter(|window| *window < reach))
                });
                let (all, local) = config.rotaries();
                [
                    ("rms_norm_eps", format!("{}", config.rms_norm_eps)),
                    ("rope_theta", format!("{}", config.rope_theta)),
                    ("frequencies of rotary angles", format!("{:?}", all.turns())),
                    ("those of layers with a sliding window", format!("{:?}", local.as_ref().map(Rotary::turns))),
                    ("scale, bound and window of the scores", format!("{:?}", scores.collect::<Vec<_>>())),
                    ("final_logit_softcapping", format!("{:?}", config.logit_cap())),
                    ("heads", format!("{:?}", (config.num_attention_heads, config.kv_heads(), config.head_size()))),
                ]
            };
            facts(ours).into_iter().zip(facts(theirs)).for_each(|((name, ours), (_, theirs))| compare(name, ours, theirs));
        }
        (Config::Neox(ours), Config::Neox(theirs)) => {
            compare("layer_norm_eps", ours.layer_norm_eps.to_string(), theirs.layer_norm_eps.to_string());
            compare("rotary_emb_base", ours.rotary_emb_base.to_string(), theirs.rotary_emb_base.to_string());
            compare("rotary dimensions", ours.rotary_dimensions().to_string(), theirs.rotary_dimensions().to_string());
            compare("rope_scaling", format!("{:?}", ours.scaling()?), format!("{:?}", theirs.scaling()?));
            compare("use_parallel_residual", ours.use_parallel_residual.to_string(), theirs.use_parallel_residual.to_string());
            compare("heads", ours.num_attention_heads.to_string(), theirs.num_attention_heads.to_string());
        }
        (Config::Phi(ours), Config::Phi(theirs)) => {
            compare("layer_norm_eps", ours.layer_norm_eps.to_string(), theirs.layer_norm_eps.to_string());
            compare("rope_theta", ours.rope_theta.to_string(), theirs.rope_theta.to_string());
            compare("rotary dimensions", ours.rotary_dimensions().to_string(), theirs.rotary_dimensions().to_string());
            compare(
                "heads",
                format!("{:?}", (ours.num_attention_heads, ours.kv_heads())),
                format!("{:?}", (theirs.num_attention_heads, theirs.kv_heads())),
            );
        }
        _ => compare("family", description.architecture.into(), "another".into()),
    }
    Ok(wrong)
}
