//! The page of Llama (Touvron et al. 2023) and its relatives SmolLM2, TinyLlama, Mistral, Qwen2, Qwen3, Phi-3 and Gemma:
//! names, shapes and the forward pass of a block.
//!
//! Follows `modeling_llama.py`, `modeling_phi3.py`, `modeling_gemma2.py`, `modeling_gemma3.py` and `modeling_qwen3.py` of
//! transformers. C width, H heads of D, G heads of keys and values, M feed-forward width, V words.

use std::fmt;
use std::sync::Arc;

use candle_core::{Result, Tensor};
use serde_json::Value;

use crate::models::decoder::{Attend, AttentionConfig, Block, Decoder, Drop};
use crate::models::family::Family;
use crate::models::llama::config::LlamaConfig;
use crate::nn::activation;
use crate::nn::attention::shape::Columns;
use crate::nn::linear::{Embedding, Linear, Weight};
use crate::nn::lm_head::LmHead;
use crate::nn::norm::Norm;
use crate::nn::tape::Pass;
use crate::nn::weights::{Weights, named};
use compute::cpu::activation::{GELU_TANH, Sigmoidal};

/// One layer.
#[derive(Debug)]
struct LlamaBlock {
    input_norm: Norm,
    /// Before the feed-forward layer.
    middle_norm: Norm,
    /// After attention and after the feed-forward layer: Gemma 2 and 3.
    outer_norms: Option<[Norm; 2]>,
    /// Of each head's query and key: Qwen3, Gemma 3.
    head_norms: Option<[Norm; 2]>,
    /// Query, key and value; in Phi-3 one for all.
    inputs: Vec<(&'static str, Linear)>,
    output: Linear,
    /// Gate and up; in Phi-3 one for both.
    widen: Vec<(&'static str, Linear)>,
    down: Linear,
    activation: Sigmoidal,
}

/// The linear layers of a block below `self_attn` and `mlp`: name, rows, whether there is a bias.
fn inputs(config: &LlamaConfig) -> Vec<(&'static str, usize, bool)> {
    let (queries, kv_heads) = (config.num_attention_heads * config.head_size(), config.kv_heads() * config.head_size());
    let bias = config.query_bias();
    match config.is_fused() {
        true => vec![("qkv_proj", queries + 2 * kv_heads, bias)],
        false => vec![("q_proj", queries, bias), ("k_proj", kv_heads, bias), ("v_proj", kv_heads, bias)],
    }
}

fn widening(config: &LlamaConfig) -> Vec<(&'static str, usize, bool)> {
    let (inner, bias) = (config.intermediate_size, config.feed_forward_bias());
    match config.is_fused() {
        true => vec![("gate_up_proj", 2 * inner, bias)],
        false => vec![("gate_proj", inner, bias), ("up_proj", inner, bias)],
    }
}

/// Names of the norms of a block's rows, in the order of transformers.
fn norms(config: &LlamaConfig) -> &'static [&'static str] {
    match config.has_outer_norms() {
        true => &["input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm"],
        false => &["input_layernorm", "post_attention_layernorm"],
    }
}

impl Family for LlamaConfig {
    fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    fn hidden_size(&self) -> usize {
        self.hidden_size
    }

    fn num_hidden_layers(&self) -> usize {
        self.num_hidden_layers
    }

    fn max_position_embeddings(&self) -> usize {
        self.positions()
    }

    fn attention_width(&self) -> usize {
        self.num_attention_heads * self.head_size()
    }

    fn eos_token_id(&self) -> Value {
        self.others.get("eos_token_id").cloned().unwrap_or_default()
    }

    /// Gemma's norms store the distance from 1.
    fn first_norm(&self) -> f32 {
        if self.is_gemma() { 0.0 } else { 1.0 }
    }

    fn lora_targets(&self) -> &'static [&'static str] {
        if self.is_fused() { &["qkv_proj"] } else { &["q_proj", "v_proj"] }
    }

    fn tie_word_embeddings(&self) -> bool {
        self.tie_word_embeddings
    }

    fn check(&self) -> std::result::Result<(), String> {
        self.refusal()
    }

    fn to_value(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn parameter_shapes(&self) -> Vec<(String, Vec<usize>)> {
        let (c, m, v, d) = (self.hidden_size, self.intermediate_size, self.vocab_size, self.head_size());
        let mut shapes = vec![("model.embed_tokens.weight".to_string(), vec![v, c])];
        let rows = |part: &str, names: Vec<(&str, usize, bool)>, columns: usize| -> Vec<(String, Vec<usize>)> {
            let each = |(name, rows, bias): (&str, usize, bool)| {
                let bias = bias.then(|| (format!("{part}.{name}.bias"), vec![rows]));
                [(format!("{part}.{name}.weight"), vec![rows, columns])].into_iter().chain(bias)
            };
            names.into_iter().flat_map(each).collect()
        };
        for layer in 0..self.num_hidden_layers {
            let mut block = rows("self_attn", inputs(self), c);
            block.extend(rows("self_attn", vec![("o_proj", c, self.output_bias())], self.num_attention_heads * d));
            if self.has_head_norms() {
                block.extend(["q_norm", "k_norm"].map(|name| (format!("self_attn.{name}.weight"), vec![d])));
            }
            block.extend(rows("mlp", widening(self), c));
            block.extend(rows("mlp", vec![("down_proj", c, self.feed_forward_bias())], m));
            block.extend(norms(self).iter().map(|name| (format!("{name}.weight"), vec![c])));
            shapes.extend(block.into_iter().map(|(name, shape)| (format!("model.layers.{layer}.{name}"), shape)));
        }
        shapes.push(("model.norm.weight".to_string(), vec![c]));
        if !self.tie_word_embeddings {
            shapes.push(("lm_head.weight".to_string(), vec![v, c]));
        }
        shapes
    }

    fn decoder(&self, weights: Weights) -> Decoder {
        let find = named(&weights);
        let has = |name: &str| weights.iter().any(|(own, _)| own == name);
        let offset = if self.is_gemma() { 1.0 } else { 0.0 };
        let norm = |name: &str| Norm { weight: find(&format!("{name}.weight")), bias: None, epsilon: self.rms_norm_eps, offset };
        let linear = |name: String| {
            let bias = format!("{name}.bias");
            Linear::new(find(&format!("{name}.weight")), has(&bias).then(|| find(&bias)))
        };
        let block = |index: usize| {
            let place = format!("model.layers.{index}");
            let norms: Vec<Norm> = norms(self).iter().map(|name| norm(&format!("{place}.{name}"))).collect();
            let (middle_norm, outer_norms) = match norms.as_slice() {
                [_, after_attention, middle, after] => (middle.clone(), Some([after_attention.clone(), after.clone()])),
                _ => (norms[1].clone(), None),
            };
            let linears = |part: &str, names: Vec<(&'static str, usize, bool)>| {
                names.into_iter().map(|(name, ..)| (name, linear(format!("{place}.{part}.{name}")))).collect()
            };
            Box::new(LlamaBlock {
                input_norm: norms[0].clone(),
                middle_norm,
                outer_norms,
                head_norms: self.has_head_norms().then(|| ["q_norm", "k_norm"].map(|name| norm(&format!("{place}.self_attn.{name}")))),
                inputs: linears("self_attn", inputs(self)),
                output: linear(format!("{place}.self_attn.o_proj")),
                widen: linears("mlp", widening(self)),
                down: linear(format!("{place}.mlp.down_proj")),
                activation: self.activation(),
            }) as Box<dyn Block>
        };
        let embedding = find("model.embed_tokens.weight");
        let head = if self.tie_word_embeddings { embedding.clone() } else { find("lm_head.weight") };
        Decoder {
            blocks: (0..self.num_hidden_layers).map(block).collect(),
            norm: norm("model.norm"),
            head: LmHead::new(Weight::Full(head), None, self.logit_cap()),
            embedding: Embedding { weight: Weight::Full(embedding) },
            embedding_scale: if self.is_gemma() { f64::from((self.hidden_size as f32).sqrt()) } else { 1.0 },
            heads: heads(self),
            dropout: 0.0,
            embedding_dropout: 0.0,
            seed: Default::default(),
            packed: Vec::new(),
            weights,
        }
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (c, m, v, d) = (self.hidden_size, self.intermediate_size, self.vocab_size, self.head_size());
        let name = match self.model_type.as_str() {
            "mistral" => "Mistral",
            "qwen2" => "Qwen2",
            "qwen3" => "Qwen3",
            "phi3" => "Phi3",
            "gemma" => "Gemma",
            "gemma2" => "Gemma2",
            "gemma3_text" => "Gemma3",
            _ => "Llama",
        };
        let norm = |width: usize| format!("{name}RMSNorm(({width},), eps={:e})", self.rms_norm_eps);
        let linear = |place: &str, inputs: usize, outputs: usize, bias: bool| {
            format!(
                "          ({place}): Linear(in_features={inputs}, out_features={outputs}, bias={})\n",
                if bias { "True" } else { "False" }
            )
        };
        let mut attention = String::new();
        inputs(self).iter().for_each(|(name, rows, bias)| attention += &linear(name, c, *rows, *bias));
        attention += &linear("o_proj", self.num_attention_heads * d, c, self.output_bias());
        if self.has_head_norms() {
            attention += &format!("          (q_norm): {}\n          (k_norm): {}\n", norm(d), norm(d));
        }
        let mut wide = String::new();
        widening(self).iter().for_each(|(name, rows, bias)| wide += &linear(name, c, *rows, *bias));
        wide += &linear("down_proj", m, c, self.feed_forward_bias());
        let activation = if self.activation() == GELU_TANH { "GELUTanh()" } else { "SiLUActivation()" };
        writeln!(f, "{name}ForCausalLM(\n  (model): {name}Model(\n    (embed_tokens): Embedding({v}, {c})\n    (layers): ModuleList(")?;
        writeln!(f, "      (0-{}): {} x {name}DecoderLayer(", self.num_hidden_layers.saturating_sub(1), self.num_hidden_layers)?;
        writeln!(f, "        (self_attn): {name}Attention(\n{attention}        )")?;
        writeln!(f, "        (mlp): {name}MLP(\n{wide}          (act_fn): {activation}\n        )")?;
        norms(self).iter().try_for_each(|part| writeln!(f, "        ({part}): {}", norm(c)))?;
        writeln!(f, "      )\n    )\n    (norm): {}\n  )", norm(c))?;
        write!(f, "  (lm_head): Linear(in_features={c}, out_features={v}, bias=False)\n)")
    }
}

/// The attention of every layer; layers share their tables of angles.
fn heads(config: &LlamaConfig) -> Vec<AttentionConfig> {
    let (full, local) = config.rotaries();
    let full = Arc::new(full);
    let local = local.map_or_else(|| full.clone(), Arc::new);
    let layer = |index: usize| AttentionConfig {
        heads: config.num_attention_heads,
        kv_heads: config.kv_heads(),
        size: config.head_size(),
        columns: Columns::Blocks,
        rotary: if config.window(index).is_some() { local.clone() } else { full.clone() },
        scores: config.scores(index),
    };
    (0..config.num_hidden_layers).map(layer).collect()
}

impl LlamaBlock {
    /// Query, key and value columns of normalised rows.
    fn query_key_value(&self, pass: &Pass, rows: &Tensor) -> Result<Tensor> {
        let parts = self.inputs.iter().map(|(_, linear)| linear.forward(pass, rows)).collect::<Result<Vec<Tensor>>>()?;
        match (parts.as_slice(), &self.head_norms) {
            ([query, key, value], Some([query_norm, key_norm])) => {
                pass.joined(&[&by_head(pass, query_norm, query)?, &by_head(pass, key_norm, key)?, value])
            }
            ([all], _) => Ok(all.clone()),
            _ => pass.joined(&parts.iter().collect::<Vec<&Tensor>>()),
        }
    }

    fn feed_forward(&self, pass: &Pass, rows: &Tensor) -> Result<Tensor> {
        let parts = self.widen.iter().map(|(_, linear)| linear.forward(pass, rows)).collect::<Result<Vec<Tensor>>>()?;
        let widened = match parts.as_slice() {
            [gate, up] => activation::gated(pass, gate, up, self.activation)?,
            both => {
                let half = both[0].dim(1)? / 2;
                activation::gated(pass, &pass.columns(&both[0], 0, half)?, &pass.columns(&both[0], half, half)?, self.activation)?
            }
        };
        self.down.forward(pass, &widened)
    }

    fn outer(&self, pass: &Pass, half: usize, rows: Tensor) -> Result<Tensor> {
        self.outer_norms.as_ref().map_or(Ok(rows.clone()), |norms| norms[half].forward(pass, &rows))
    }
}

/// Normalises the columns `(N, H·D)` head by head.
fn by_head(pass: &Pass, norm: &Norm, rows: &Tensor) -> Result<Tensor> {
    let size = norm.weight.elem_count();
    pass.reshaped(&norm.forward(pass, &pass.reshaped(rows, (rows.elem_count() / size, size))?)?, rows.shape())
}

impl Block for LlamaBlock {
    fn forward(&self, pass: &Pass, x: &Tensor, attend: Attend, _: Drop) -> Result<Tensor> {
        let context = attend(&self.query_key_value(pass, &self.input_norm.forward(pass, x)?)?)?;
        let middle = pass.sum(x, &self.outer(pass, 0, self.output.forward(pass, &context)?)?)?;
        pass.sum(&middle, &self.outer(pass, 1, self.feed_forward(pass, &self.middle_norm.forward(pass, &middle)?)?)?)
    }

    fn linears(&mut self) -> Vec<(&'static str, &mut Linear)> {
        let mut all: Vec<(&'static str, &mut Linear)> = self.inputs.iter_mut().map(|(name, linear)| (*name, linear)).collect();
        all.push(("o_proj", &mut self.output));
        all.extend(self.widen.iter_mut().map(|(name, linear)| (*name, linear)));
        all.push(("down_proj", &mut self.down));
        all
    }
}
