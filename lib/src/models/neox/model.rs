//! The page of GPT-NeoX (Black et al. 2022), the architecture of Pythia: names, shapes and the forward pass of a block.
//!
//! Follows `modeling_gpt_neox.py` of transformers. C width, H heads, M feed-forward width, V words.

use std::fmt;
use std::sync::Arc;

use candle_core::{Result, Tensor};
use serde_json::Value;

use crate::models::decoder::{Attend, AttentionConfig, Block, Decoder, Drop};
use crate::models::family::Family;
use crate::models::neox::config::NeoxConfig;
use crate::nn::activation;
use crate::nn::attention::shape::Columns;
use crate::nn::linear::{Embedding, Linear, Weight};
use crate::nn::lm_head::LmHead;
use crate::nn::norm::Norm;
use crate::nn::rotary::Rotary;
use crate::nn::tape::Pass;
use crate::nn::weights::{Weights, named};
use compute::cpu::attention::Scores;

/// One layer.
#[derive(Debug)]
struct NeoxBlock {
    input_norm: Norm,
    attention_norm: Norm,
    query_key_value: Linear,
    dense: Linear,
    widen: Linear,
    narrow: Linear,
    parallel: bool,
}

impl Family for NeoxConfig {
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
        self.hidden_size
    }

    fn eos_token_id(&self) -> Value {
        self.eos_token_id.as_slice().into()
    }

    fn embedding_name(&self) -> &'static str {
        "gpt_neox.embed_in.weight"
    }

    fn head_name(&self) -> &'static str {
        "embed_out.weight"
    }

    fn lora_targets(&self) -> &'static [&'static str] {
        &["query_key_value"]
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
        parameter_shapes(self)
    }

    fn decoder(&self, weights: Weights) -> Decoder {
        let find = named(&weights);
        let norm = |name: String| Norm::layer(&find, &name, self.layer_norm_eps);
        let linear = |name: String| Linear::new(find(&format!("{name}.weight")), Some(find(&format!("{name}.bias"))));
        let block = |index: usize| {
            let place = format!("gpt_neox.layers.{index}");
            Box::new(NeoxBlock {
                input_norm: norm(format!("{place}.input_layernorm")),
                attention_norm: norm(format!("{place}.post_attention_layernorm")),
                query_key_value: linear(format!("{place}.attention.query_key_value")),
                dense: linear(format!("{place}.attention.dense")),
                widen: linear(format!("{place}.mlp.dense_h_to_4h")),
                narrow: linear(format!("{place}.mlp.dense_4h_to_h")),
                parallel: self.use_parallel_residual,
            }) as Box<dyn Block>
        };
        let scaling = self.scaling().ok().flatten();
        let rotary = Rotary::new(self.rotary_dimensions(), self.rotary_emb_base, scaling.as_ref());
        let heads = AttentionConfig {
            heads: self.num_attention_heads,
            kv_heads: self.num_attention_heads,
            size: self.head_size(),
            columns: Columns::Interleaved,
            rotary: Arc::new(rotary),
            scores: Scores::of_size(self.head_size()),
        };
        Decoder {
            embedding: Embedding { weight: Weight::Full(find("gpt_neox.embed_in.weight")) },
            blocks: (0..self.num_hidden_layers).map(block).collect(),
            norm: norm("gpt_neox.final_layer_norm".into()),
            head: LmHead::new(Weight::Full(find("embed_out.weight")), None, None),
            heads: vec![heads; self.num_hidden_layers],
            dropout: self.hidden_dropout,
            embedding_dropout: self.hidden_dropout,
            embedding_scale: 1.0,
            seed: Default::default(),
            packed: Vec::new(),
            weights,
        }
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (c, m, v) = (self.hidden_size, self.intermediate_size, self.vocab_size);
        let norm = format!("LayerNorm(({c},), eps={:e}, elementwise_affine=True)", self.layer_norm_eps);
        writeln!(f, "GPTNeoXForCausalLM(\n  (gpt_neox): GPTNeoXModel(\n    (embed_in): Embedding({v}, {c})\n    (layers): ModuleList(")?;
        writeln!(f, "      (0-{}): {} x GPTNeoXLayer(", self.num_hidden_layers.saturating_sub(1), self.num_hidden_layers)?;
        writeln!(
            f,
            "        (input_layernorm): {norm}\n        (post_attention_layernorm): {norm}\n        (attention): GPTNeoXAttention("
        )?;
        let (turned, head) = (self.rotary_dimensions(), self.head_size());
        writeln!(f, "          (rotary_emb): GPTNeoXRotaryEmbedding({turned} of {head} dimensions a head)")?;
        writeln!(f, "          (query_key_value): Linear(in_features={c}, out_features={}, bias=True)", 3 * c)?;
        writeln!(f, "          (dense): Linear(in_features={c}, out_features={c}, bias=True)\n        )\n        (mlp): GPTNeoXMLP(")?;
        writeln!(f, "          (dense_h_to_4h): Linear(in_features={c}, out_features={m}, bias=True)")?;
        writeln!(f, "          (dense_4h_to_h): Linear(in_features={m}, out_features={c}, bias=True)")?;
        writeln!(f, "          (act): GELUActivation()\n        )\n      )\n    )\n    (final_layer_norm): {norm}\n  )")?;
        write!(f, "  (embed_out): Linear(in_features={c}, out_features={v}, bias=False)\n)")
    }
}

/// The names and shapes of all parameters, in the order of transformers' `state_dict`; the lesson on sizes asks for them.
pub fn parameter_shapes(config: &NeoxConfig) -> Vec<(String, Vec<usize>)> {
    let (c, m, v) = (config.hidden_size, config.intermediate_size, config.vocab_size);
    let mut shapes = vec![("gpt_neox.embed_in.weight".to_string(), vec![v, c])];
    for layer in 0..config.num_hidden_layers {
        let parts: [(&str, Vec<usize>); 12] = [
            ("input_layernorm.weight", vec![c]),
            ("input_layernorm.bias", vec![c]),
            ("post_attention_layernorm.weight", vec![c]),
            ("post_attention_layernorm.bias", vec![c]),
            ("attention.query_key_value.weight", vec![3 * c, c]),
            ("attention.query_key_value.bias", vec![3 * c]),
            ("attention.dense.weight", vec![c, c]),
            ("attention.dense.bias", vec![c]),
            ("mlp.dense_h_to_4h.weight", vec![m, c]),
            ("mlp.dense_h_to_4h.bias", vec![m]),
            ("mlp.dense_4h_to_h.weight", vec![c, m]),
            ("mlp.dense_4h_to_h.bias", vec![c]),
        ];
        shapes.extend(parts.map(|(name, shape)| (format!("gpt_neox.layers.{layer}.{name}"), shape)));
    }
    shapes.push(("gpt_neox.final_layer_norm.weight".to_string(), vec![c]));
    shapes.push(("gpt_neox.final_layer_norm.bias".to_string(), vec![c]));
    shapes.push(("embed_out.weight".to_string(), vec![v, c]));
    shapes
}

impl Block for NeoxBlock {
    fn forward(&self, pass: &Pass, x: &Tensor, attend: Attend, drop: Drop) -> Result<Tensor> {
        let qkv = self.query_key_value.forward(pass, &self.input_norm.forward(pass, x)?)?;
        let attended = drop(&self.dense.forward(pass, &attend(&qkv)?)?)?;
        // Attention and feed-forward read the same rows, or one after the other.
        let sum = pass.sum(x, &attended)?;
        let middle = if self.parallel { x } else { &sum };
        let widened = activation::gelu(pass, &self.widen.forward(pass, &self.attention_norm.forward(pass, middle)?)?)?;
        pass.sum(&sum, &drop(&self.narrow.forward(pass, &widened)?)?)
    }

    fn linears(&mut self) -> Vec<(&'static str, &mut Linear)> {
        vec![
            ("query_key_value", &mut self.query_key_value),
            ("dense", &mut self.dense),
            ("dense_h_to_4h", &mut self.widen),
            ("dense_4h_to_h", &mut self.narrow),
        ]
    }
}
