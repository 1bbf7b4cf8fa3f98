//! The page of Llama (Touvron et al. 2023), the architecture of SmolLM2, TinyLlama, Mistral and Qwen2 too: names, shapes and
//! the forward pass of a block.
//!
//! Follows `modeling_llama.py` of transformers. C width, H heads of D, G groups of keys and values, M feed-forward width,
//! V words.

use std::fmt;
use std::sync::Arc;

use candle_core::Tensor;

use crate::model::attention::Columns;
use crate::model::config::LlamaConfig;
use crate::model::decoder::{Attend, Block, Decoder, Drop, Heads};
use crate::model::linear::{Embedding, Linear};
use crate::model::norm::Norm;
use crate::model::ops;
use crate::model::rotary::Rotary;
use crate::model::weights::{Weights, named};

type Answer<T> = candle_core::Result<T>;

/// One layer.
#[derive(Debug)]
struct LlamaBlock {
    input_norm: Norm,
    attention_norm: Norm,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    gate: Linear,
    up: Linear,
    down: Linear,
}

/// The names and shapes of all parameters, in the order of transformers' `state_dict`.
pub fn parameter_shapes(config: &LlamaConfig) -> Vec<(String, Vec<usize>)> {
    let (c, m, v, d) = (config.hidden_size, config.intermediate_size, config.vocab_size, config.head_size());
    let (queries, groups) = (config.num_attention_heads * d, config.groups() * d);
    let mut shapes = vec![("model.embed_tokens.weight".to_string(), vec![v, c])];
    for layer in 0..config.num_hidden_layers {
        let mut add = |name: &str, shape: Vec<usize>| shapes.push((format!("model.layers.{layer}.{name}"), shape));
        for (name, rows) in [("q", queries), ("k", groups), ("v", groups)] {
            add(&format!("self_attn.{name}_proj.weight"), vec![rows, c]);
            if config.query_bias() {
                add(&format!("self_attn.{name}_proj.bias"), vec![rows]);
            }
        }
        add("self_attn.o_proj.weight", vec![c, queries]);
        if config.attention_bias {
            add("self_attn.o_proj.bias", vec![c]);
        }
        for (name, shape) in [("gate", vec![m, c]), ("up", vec![m, c]), ("down", vec![c, m])] {
            let rows = shape[0];
            add(&format!("mlp.{name}_proj.weight"), shape);
            if config.mlp_bias {
                add(&format!("mlp.{name}_proj.bias"), vec![rows]);
            }
        }
        add("input_layernorm.weight", vec![c]);
        add("post_attention_layernorm.weight", vec![c]);
    }
    shapes.push(("model.norm.weight".to_string(), vec![c]));
    if !config.tie_word_embeddings {
        shapes.push(("lm_head.weight".to_string(), vec![v, c]));
    }
    shapes
}

/// A model of these weights, which have the names and shapes of [`parameter_shapes`].
pub fn decoder(config: &LlamaConfig, weights: Weights) -> Decoder {
    let find = named(&weights);
    let has = |name: &str| weights.iter().any(|(own, _)| own == name);
    let norm = |name: String| Norm { weight: find(&format!("{name}.weight")), bias: None, epsilon: config.rms_norm_eps };
    let linear = |name: String| {
        let bias = format!("{name}.bias");
        Linear::new(find(&format!("{name}.weight")), has(&bias).then(|| find(&bias)))
    };
    let block = |index: usize| {
        let place = format!("model.layers.{index}");
        Box::new(LlamaBlock {
            input_norm: norm(format!("{place}.input_layernorm")),
            attention_norm: norm(format!("{place}.post_attention_layernorm")),
            query: linear(format!("{place}.self_attn.q_proj")),
            key: linear(format!("{place}.self_attn.k_proj")),
            value: linear(format!("{place}.self_attn.v_proj")),
            output: linear(format!("{place}.self_attn.o_proj")),
            gate: linear(format!("{place}.mlp.gate_proj")),
            up: linear(format!("{place}.mlp.up_proj")),
            down: linear(format!("{place}.mlp.down_proj")),
        }) as Box<dyn Block>
    };
    let embedding = find("model.embed_tokens.weight");
    let rotary = Rotary::new(config.head_size(), config.max_position_embeddings, config.rope_theta, config.stretch);
    Decoder {
        blocks: (0..config.num_hidden_layers).map(block).collect(),
        norm: norm("model.norm".into()),
        head: if config.tie_word_embeddings { embedding.clone() } else { find("lm_head.weight") },
        embedding: Embedding { weight: embedding },
        heads: Heads {
            heads: config.num_attention_heads,
            groups: config.groups(),
            size: config.head_size(),
            columns: Columns::Blocks,
            rotary: Arc::new(rotary),
        },
        dropout: 0.0,
        seed: Default::default(),
        scratch: Default::default(),
        packed: Vec::new(),
        weights,
    }
}

impl Block for LlamaBlock {
    fn forward(&self, x: &Tensor, attend: Attend, _: Drop) -> Answer<Tensor> {
        let rows = self.input_norm.forward(x)?;
        let qkv = Tensor::cat(&[self.query.forward(&rows)?, self.key.forward(&rows)?, self.value.forward(&rows)?], 1)?;
        let middle = (x + self.output.forward(&attend(&qkv)?)?)?;
        let rows = self.attention_norm.forward(&middle)?;
        let widened = ops::swiglu(&self.gate.forward(&rows)?, &self.up.forward(&rows)?)?;
        &middle + self.down.forward(&widened)?
    }

    fn linears(&mut self) -> Vec<(&'static str, &mut Linear)> {
        vec![
            ("q_proj", &mut self.query),
            ("k_proj", &mut self.key),
            ("v_proj", &mut self.value),
            ("o_proj", &mut self.output),
            ("gate_proj", &mut self.gate),
            ("up_proj", &mut self.up),
            ("down_proj", &mut self.down),
        ]
    }
}

/// The model as PyTorch prints one.
pub fn describe(config: &LlamaConfig, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (c, m, v, d) = (config.hidden_size, config.intermediate_size, config.vocab_size, config.head_size());
    let (queries, groups) = (config.num_attention_heads * d, config.groups() * d);
    let norm = format!("LlamaRMSNorm(({c},), eps={:e})", config.rms_norm_eps);
    let linear = |inputs: usize, outputs: usize| format!("Linear(in_features={inputs}, out_features={outputs}");
    let bias = |yes: bool| if yes { "bias=True)" } else { "bias=False)" };
    writeln!(f, "LlamaForCausalLM(\n  (model): LlamaModel(\n    (embed_tokens): Embedding({v}, {c})\n    (layers): ModuleList(")?;
    writeln!(f, "      (0-{}): {} x LlamaDecoderLayer(", config.num_hidden_layers.saturating_sub(1), config.num_hidden_layers)?;
    writeln!(f, "        (self_attn): LlamaAttention(")?;
    for (name, outputs) in [("q", queries), ("k", groups), ("v", groups)] {
        writeln!(f, "          ({name}_proj): {}, {}", linear(c, outputs), bias(config.query_bias()))?;
    }
    writeln!(f, "          (o_proj): {}, {}\n        )", linear(queries, c), bias(config.attention_bias))?;
    writeln!(f, "        (mlp): LlamaMLP(")?;
    for (name, inputs, outputs) in [("gate", c, m), ("up", c, m), ("down", m, c)] {
        writeln!(f, "          ({name}_proj): {}, {}", linear(inputs, outputs), bias(config.mlp_bias))?;
    }
    writeln!(f, "          (act_fn): SiLUActivation()\n        )")?;
    writeln!(f, "        (input_layernorm): {norm}\n        (post_attention_layernorm): {norm}\n      )\n    )")?;
    writeln!(f, "    (norm): {norm}\n  )\n  (lm_head): {}, bias=False)\n)", linear(c, v))
}
