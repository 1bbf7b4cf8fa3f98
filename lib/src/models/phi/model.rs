//! The page of Phi (Gunasekar et al. 2023; Li et al. 2023), the architecture of Phi-1, Phi-1.5 and Phi-2: names, shapes and
//! the forward pass of a block.
//!
//! Follows `modeling_phi.py` of transformers. C width, H heads of D, G heads of keys and values, M feed-forward width, V words.

use std::fmt;
use std::sync::Arc;

use candle_core::{Result, Tensor};
use serde_json::Value;

use crate::models::decoder::{Attend, AttentionConfig, Block, Decoder, Drop};
use crate::models::family::Family;
use crate::models::phi::config::PhiConfig;
use crate::nn::activation;
use crate::nn::attention::shape::Columns;
use crate::nn::linear::{Embedding, Linear, Weight};
use crate::nn::lm_head::LmHead;
use crate::nn::norm::Norm;
use crate::nn::rotary::Rotary;
use crate::nn::tape::Pass;
use crate::nn::weights::{Weights, named};
use compute::cpu::attention::Scores;

/// One layer: attention and feed-forward read the same normalised rows.
#[derive(Debug)]
struct PhiBlock {
    norm: Norm,
    query: Linear,
    key: Linear,
    value: Linear,
    dense: Linear,
    widen: Linear,
    narrow: Linear,
}

/// The linear layers of a block: name, rows, columns. All have a bias.
fn linears(config: &PhiConfig) -> [(&'static str, usize, usize); 6] {
    let (c, m, kv_heads) = (config.hidden_size, config.intermediate_size, config.kv_heads() * config.head_size());
    [
        ("self_attn.q_proj", c, c),
        ("self_attn.k_proj", kv_heads, c),
        ("self_attn.v_proj", kv_heads, c),
        ("self_attn.dense", c, c),
        ("mlp.fc1", m, c),
        ("mlp.fc2", c, m),
    ]
}

impl Family for PhiConfig {
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
        self.max_position_embeddings
    }

    fn attention_width(&self) -> usize {
        self.hidden_size
    }

    fn eos_token_id(&self) -> Value {
        self.others.get("eos_token_id").cloned().unwrap_or_default()
    }

    fn lora_targets(&self) -> &'static [&'static str] {
        &["q_proj", "v_proj", "fc1", "fc2"]
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
        let (c, v) = (self.hidden_size, self.vocab_size);
        let mut shapes = vec![("model.embed_tokens.weight".to_string(), vec![v, c])];
        let mut both = |name: String, weight: Vec<usize>| {
            let rows = weight[0];
            shapes.extend([(format!("{name}.weight"), weight), (format!("{name}.bias"), vec![rows])]);
        };
        for layer in 0..self.num_hidden_layers {
            let place = format!("model.layers.{layer}");
            linears(self).iter().for_each(|(name, rows, columns)| both(format!("{place}.{name}"), vec![*rows, *columns]));
            both(format!("{place}.input_layernorm"), vec![c]);
        }
        both("model.final_layernorm".into(), vec![c]);
        both("lm_head".into(), vec![v, c]);
        shapes.retain(|(name, _)| !(self.tie_word_embeddings && name == "lm_head.weight"));
        shapes
    }

    fn decoder(&self, weights: Weights) -> Decoder {
        let find = named(&weights);
        let norm = |name: String| Norm::layer(&find, &name, self.layer_norm_eps);
        let block = |index: usize| {
            let place = format!("model.layers.{index}");
            let [query, key, value, dense, widen, narrow] = linears(self)
                .map(|(name, ..)| Linear::new(find(&format!("{place}.{name}.weight")), Some(find(&format!("{place}.{name}.bias")))));
            Box::new(PhiBlock { norm: norm(format!("{place}.input_layernorm")), query, key, value, dense, widen, narrow }) as Box<dyn Block>
        };
        let embedding = find("model.embed_tokens.weight");
        let head = if self.tie_word_embeddings { embedding.clone() } else { find("lm_head.weight") };
        let heads = AttentionConfig {
            heads: self.num_attention_heads,
            kv_heads: self.kv_heads(),
            size: self.head_size(),
            columns: Columns::Blocks,
            rotary: Arc::new(Rotary::new(self.rotary_dimensions(), self.rope_theta, None)),
            scores: Scores::of_size(self.head_size()),
        };
        Decoder {
            blocks: (0..self.num_hidden_layers).map(block).collect(),
            norm: norm("model.final_layernorm".into()),
            head: LmHead::new(Weight::Full(head), Some(find("lm_head.bias")), None),
            embedding: Embedding { weight: Weight::Full(embedding) },
            embedding_scale: 1.0,
            heads: vec![heads; self.num_hidden_layers],
            dropout: self.resid_pdrop,
            embedding_dropout: self.embd_pdrop,
            seed: Default::default(),
            packed: Vec::new(),
            weights,
        }
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (c, v) = (self.hidden_size, self.vocab_size);
        let norm = format!("LayerNorm(({c},), eps={:e}, elementwise_affine=True)", self.layer_norm_eps);
        writeln!(f, "PhiForCausalLM(\n  (model): PhiModel(\n    (embed_tokens): Embedding({v}, {c})\n    (layers): ModuleList(")?;
        writeln!(f, "      (0-{}): {} x PhiDecoderLayer(", self.num_hidden_layers.saturating_sub(1), self.num_hidden_layers)?;
        for (part, class) in [("self_attn", "PhiAttention"), ("mlp", "PhiMLP")] {
            writeln!(f, "        ({part}): {class}(")?;
            for (name, rows, columns) in linears(self) {
                let Some(name) = name.strip_prefix(part) else { continue };
                writeln!(f, "          ({}): Linear(in_features={columns}, out_features={rows}, bias=True)", &name[1..])?;
            }
            if part == "mlp" {
                writeln!(f, "          (activation_fn): NewGELUActivation()")?;
            }
            writeln!(f, "        )")?;
        }
        writeln!(f, "        (input_layernorm): {norm}\n      )\n    )")?;
        writeln!(f, "    (final_layernorm): {norm}\n  )")?;
        write!(f, "  (lm_head): Linear(in_features={c}, out_features={v}, bias=True)\n)")
    }
}

impl Block for PhiBlock {
    fn forward(&self, pass: &Pass, x: &Tensor, attend: Attend, drop: Drop) -> Result<Tensor> {
        let rows = self.norm.forward(pass, x)?;
        let qkv = pass.joined(&[&self.query.forward(pass, &rows)?, &self.key.forward(pass, &rows)?, &self.value.forward(pass, &rows)?])?;
        let attended = drop(&self.dense.forward(pass, &attend(&qkv)?)?)?;
        let narrowed = drop(&self.narrow.forward(pass, &activation::gelu_tanh(pass, &self.widen.forward(pass, &rows)?)?)?)?;
        pass.sum(&pass.sum(&attended, &narrowed)?, x)
    }

    fn linears(&mut self) -> Vec<(&'static str, &mut Linear)> {
        vec![
            ("q_proj", &mut self.query),
            ("k_proj", &mut self.key),
            ("v_proj", &mut self.value),
            ("dense", &mut self.dense),
            ("fc1", &mut self.widen),
            ("fc2", &mut self.narrow),
        ]
    }
}
