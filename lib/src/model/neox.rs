//! Ids → logits: GPT-NeoX (Black et al. 2022), the architecture of Pythia.
//!
//! Follows `modeling_gpt_neox.py` of transformers. B sequences, T positions, C width, H heads of D dimensions, V words;
//! activations are `(B·T, C)`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use candle_core::{Device, Tensor, Var};

use crate::error::Result;
use crate::model::attention::{AttentionShape, LayerCache, Rotary};
use crate::model::config::NeoxConfig;
use crate::model::ops;
use crate::model::weights::{self, Weights};

/// A GPT-NeoX model with trainable weights.
#[derive(Debug)]
pub struct Neox {
    config: NeoxConfig,
    device: Device,
    weights: Weights,
    embed_in: Var,
    layers: Vec<Layer>,
    final_norm: Norm,
    embed_out: Var,
    rotary: Arc<Rotary>,
}

#[derive(Debug)]
struct Norm {
    weight: Var,
    bias: Var,
}

#[derive(Debug)]
struct Linear {
    weight: Var,
    bias: Var,
}

#[derive(Debug)]
struct Layer {
    input_norm: Norm,
    attention_norm: Norm,
    query_key_value: Linear,
    dense: Linear,
    widen: Linear,
    narrow: Linear,
}

/// What each layer has seen of one sequence, so that a new position costs one row and not the whole text again.
#[derive(Debug, Default)]
pub struct Cache {
    layers: Vec<Arc<Mutex<LayerCache>>>,
    /// The ids so far, for devices on which the keys and values are made anew.
    ids: Vec<u32>,
}

impl Cache {
    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Neox {
    /// The names and shapes of all parameters, in the order of transformers' `state_dict`.
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

    /// A model of these weights; [`weights::load`] has made sure that every name is there with its shape.
    pub fn new(config: NeoxConfig, weights: Weights, device: &Device) -> Self {
        let by_name: HashMap<&str, &Var> = weights.iter().map(|(name, var)| (name.as_str(), var)).collect();
        let var = |name: String| by_name[name.as_str()].clone();
        let norm = |name: String| Norm { weight: var(format!("{name}.weight")), bias: var(format!("{name}.bias")) };
        let linear = |name: String| Linear { weight: var(format!("{name}.weight")), bias: var(format!("{name}.bias")) };
        let layer = |index: usize| {
            let place = format!("gpt_neox.layers.{index}");
            Layer {
                input_norm: norm(format!("{place}.input_layernorm")),
                attention_norm: norm(format!("{place}.post_attention_layernorm")),
                query_key_value: linear(format!("{place}.attention.query_key_value")),
                dense: linear(format!("{place}.attention.dense")),
                widen: linear(format!("{place}.mlp.dense_h_to_4h")),
                narrow: linear(format!("{place}.mlp.dense_4h_to_h")),
            }
        };
        let layers = (0..config.num_hidden_layers).map(layer).collect();
        let (embed_in, embed_out) = (var("gpt_neox.embed_in.weight".into()), var("embed_out.weight".into()));
        let final_norm = norm("gpt_neox.final_layer_norm".into());
        let rotary = Rotary::new(config.rotary_dimensions(), config.max_position_embeddings, config.rotary_emb_base);
        drop(by_name);
        Self { config, device: device.clone(), weights, embed_in, layers, final_norm, embed_out, rotary: Arc::new(rotary) }
    }

    /// A model with random weights: normal with deviation 0.02, layer norms 1 and biases 0, as transformers starts one.
    pub fn random(config: NeoxConfig, seed: u64, device: &Device) -> Result<Self> {
        let weights = weights::random(&Self::parameter_shapes(&config), seed, device)?;
        Ok(Self::new(config, weights, device))
    }

    /// The shape.
    pub fn config(&self) -> &NeoxConfig {
        &self.config
    }

    /// The parameters by name, in the order of transformers.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// Where the weights are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Logits `(B·T, V)` of ids `(B,T)`, row-major; `training` turns dropout on.
    pub fn forward(&self, ids: &[u32], batch: usize, training: bool) -> candle_core::Result<Tensor> {
        let shape = self.attention_shape(batch, ids.len() / batch);
        let x = self.run(ids, training, |_, qkv| ops::attention(qkv, &shape))?;
        x.matmul(&self.embed_out.t()?)
    }

    /// Logits `(1, V)` of the position after `ids`, which follow those already in the cache.
    pub fn forward_cached(&self, ids: &[u32], cache: &mut Cache) -> candle_core::Result<Tensor> {
        cache.ids.extend_from_slice(ids);
        let x = if self.device.is_cpu() {
            cache.layers.resize_with(self.layers.len(), Default::default);
            let shape = self.attention_shape(1, ids.len());
            let layers = &cache.layers;
            self.run(ids, false, |layer, qkv| {
                qkv.contiguous()?.apply_op1(ops::CachedAttention { shape: shape.clone(), cache: layers[layer].clone() })
            })?
        } else {
            let shape = self.attention_shape(1, cache.ids.len());
            self.run(&cache.ids, false, |_, qkv| ops::attention(qkv, &shape))?
        };
        let last = x.dim(0)? - 1;
        x.narrow(0, last, 1)?.matmul(&self.embed_out.t()?)
    }

    /// Embedding, all blocks and the last norm: ids → `(N, C)`.
    fn run(
        &self,
        ids: &[u32],
        training: bool,
        attend: impl Fn(usize, &Tensor) -> candle_core::Result<Tensor>,
    ) -> candle_core::Result<Tensor> {
        let epsilon = self.config.layer_norm_eps;
        let drop = |x: Tensor| match self.config.hidden_dropout {
            rate if training && rate > 0.0 => candle_nn::ops::dropout(&x, rate as f32),
            _ => Ok(x),
        };
        let norm = |x: &Tensor, norm: &Norm| ops::layer_norm(x, &norm.weight, &norm.bias, epsilon);
        let linear = |x: &Tensor, linear: &Linear| ops::linear(x, &linear.weight, Some(&linear.bias));
        let ids = Tensor::from_slice(ids, ids.len(), &self.device)?;
        let mut x = drop(self.embed_in.index_select(&ids, 0)?)?;
        for (index, layer) in self.layers.iter().enumerate() {
            let qkv = linear(&norm(&x, &layer.input_norm)?, &layer.query_key_value)?;
            let attended = drop(linear(&attend(index, &qkv)?, &layer.dense)?)?;
            let middle = if self.config.use_parallel_residual { x.clone() } else { (&x + &attended)? };
            let widened = ops::gelu(&linear(&norm(&middle, &layer.attention_norm)?, &layer.widen)?)?;
            let forwarded = drop(linear(&widened, &layer.narrow)?)?;
            x = if self.config.use_parallel_residual { ((x + attended)? + forwarded)? } else { (middle + forwarded)? };
        }
        norm(&x, &self.final_norm)
    }

    fn attention_shape(&self, batch: usize, time: usize) -> AttentionShape {
        let (heads, head_size) = (self.config.num_attention_heads, self.config.head_size());
        AttentionShape { batch, time, heads, head_size, rotary: self.rotary.clone() }
    }
}
