//! `config.json`, weights and ids of texts → their hidden states: BERT (Devlin et al. 2019), which reads a text in both directions.
//!
//! Follows `modeling_bert.py` of transformers. N ids of all texts, one text after the other and without padding; C width, H heads.

use std::path::Path;

use candle_core::{D, Device, Tensor};
use serde::Deserialize;

use crate::border::{json, limits};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::safetensors;
use crate::nn::activation;
use crate::nn::backend::Backend;
use crate::nn::check::backend_of;
use crate::nn::linear::{Embedding, Linear, Weight};
use crate::nn::norm::Norm;
use crate::nn::parameter::Parameter;
use crate::nn::tape::Pass;
use crate::nn::weights::named;

const AGAIN: &str = "fetch the checkpoint again, or use `builtin:encoder`";

/// The fields of a BERT `config.json` that are used.
#[derive(Debug, Deserialize)]
pub(crate) struct BertConfig {
    model_type: String,
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    /// Ids of a text at most.
    pub max_position_embeddings: usize,
    type_vocab_size: usize,
    hidden_act: String,
    layer_norm_eps: f64,
    #[serde(default = "absolute")]
    position_embedding_type: String,
}

fn absolute() -> String {
    "absolute".into()
}

impl BertConfig {
    /// Reads `config.json` of a folder.
    pub fn from_folder(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        let config: Self = json::read(&path, limits::CONFIGURATION, ErrorKind::Model, AGAIN)?;
        let refused = |reason: String| Error::new(ErrorKind::Model, format!("`{}`: {reason}", path.display())).in_file(&path).hint(AGAIN);
        config.check().map_err(refused)?;
        Ok(config)
    }

    fn check(&self) -> std::result::Result<(), String> {
        let words = [
            ("model_type", &self.model_type, "bert"),
            ("hidden_act", &self.hidden_act, "gelu"),
            ("position_embedding_type", &self.position_embedding_type, "absolute"),
        ];
        if let Some((field, value, known)) = words.iter().find(|(_, value, known)| value.as_str() != *known) {
            return Err(format!("{field} is `{value}`; a sentence encoder has `{known}`"));
        }
        let sizes = [
            ("vocab_size", self.vocab_size, limits::VOCABULARY),
            ("hidden_size", self.hidden_size, limits::HIDDEN),
            ("num_hidden_layers", self.num_hidden_layers, limits::LAYERS),
            ("num_attention_heads", self.num_attention_heads, limits::HEADS),
            ("intermediate_size", self.intermediate_size, limits::INTERMEDIATE),
            ("max_position_embeddings", self.max_position_embeddings, limits::VOCABULARY),
            ("type_vocab_size", self.type_vocab_size, limits::VOCABULARY),
        ];
        if let Some((field, size, largest)) = sizes.iter().find(|(_, size, largest)| !(1..=*largest).contains(&(*size as u64))) {
            return Err(format!("{field} is {size}; it must be 1 to {largest}"));
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Err(format!("hidden_size is {}, no multiple of the {} heads", self.hidden_size, self.num_attention_heads));
        }
        let epsilon = self.layer_norm_eps;
        if !(epsilon > 0.0 && epsilon < 1.0) { Err(format!("layer_norm_eps is {epsilon}; it must be above 0 and below 1")) } else { Ok(()) }
    }

    /// Names and shapes of the weights that are used.
    fn parameter_shapes(&self) -> Vec<(String, Vec<usize>)> {
        let (c, m) = (self.hidden_size, self.intermediate_size);
        let table = |name: &str, rows: usize| (format!("embeddings.{name}_embeddings.weight"), vec![rows, c]);
        let mut shapes = vec![
            table("word", self.vocab_size),
            table("position", self.max_position_embeddings),
            table("token_type", self.type_vocab_size),
        ];
        let mut layer = |name: String, rows: usize, columns: Option<usize>| {
            shapes.push((format!("{name}.weight"), [Some(rows), columns].into_iter().flatten().collect()));
            shapes.push((format!("{name}.bias"), vec![rows]));
        };
        layer("embeddings.LayerNorm".into(), c, None);
        for index in 0..self.num_hidden_layers {
            let of = |name: &str| format!("encoder.layer.{index}.{name}");
            for name in ["query", "key", "value"] {
                layer(of(&format!("attention.self.{name}")), c, Some(c));
            }
            layer(of("attention.output.dense"), c, Some(c));
            layer(of("attention.output.LayerNorm"), c, None);
            layer(of("intermediate.dense"), m, Some(c));
            layer(of("output.dense"), c, Some(m));
            layer(of("output.LayerNorm"), c, None);
        }
        shapes
    }
}

/// One layer.
#[derive(Debug)]
struct Block {
    query: Linear,
    key: Linear,
    value: Linear,
    attended: Linear,
    attention_norm: Norm,
    widen: Linear,
    narrow: Linear,
    output_norm: Norm,
}

/// The model.
#[derive(Debug)]
pub(crate) struct Bert {
    /// Of words, places and kinds of text.
    tables: [Embedding; 3],
    norm: Norm,
    blocks: Vec<Block>,
    heads: usize,
    backend: Backend,
    device: Device,
}

impl Bert {
    /// The model of a folder, on a device.
    pub fn from_folder(folder: &Path, config: &BertConfig, device: &Device) -> Result<Self> {
        let (weights, _) = safetensors::load(folder, &config.parameter_shapes(), None, device)?;
        weights.iter().for_each(|(_, parameter)| parameter.set_frozen(true));
        let find = named(&weights);
        let find: &dyn Fn(&str) -> Parameter = &find;
        let linear = |name: String| Linear::new(find(&format!("{name}.weight")), Some(find(&format!("{name}.bias"))));
        let norm = |name: &str| Norm::layer(find, name, config.layer_norm_eps);
        let table = |name: &str| Embedding { weight: Weight::Full(find(&format!("embeddings.{name}_embeddings.weight"))) };
        let block = |index: usize| {
            let of = |name: &str| format!("encoder.layer.{index}.{name}");
            Block {
                query: linear(of("attention.self.query")),
                key: linear(of("attention.self.key")),
                value: linear(of("attention.self.value")),
                attended: linear(of("attention.output.dense")),
                attention_norm: norm(&of("attention.output.LayerNorm")),
                widen: linear(of("intermediate.dense")),
                narrow: linear(of("output.dense")),
                output_norm: norm(&of("output.LayerNorm")),
            }
        };
        Ok(Self {
            tables: [table("word"), table("position"), table("token_type")],
            norm: norm("embeddings.LayerNorm"),
            blocks: (0..config.num_hidden_layers).map(block).collect(),
            heads: config.num_attention_heads,
            backend: backend_of(device),
            device: device.clone(),
        })
    }

    /// Where the weights are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The last hidden states `(N,C)` of texts, none of them empty or longer than the model has positions.
    pub fn forward(&self, texts: &[&[u32]]) -> Result<Tensor> {
        let pass = Pass::new(self.backend);
        let places: Vec<u32> = texts.iter().flat_map(|text| 0..text.len() as u32).collect();
        let ids = [texts.concat(), places.clone(), vec![0; places.len()]];
        let [word, place, kind] = [0, 1, 2].map(|table| self.tables[table].forward(&pass, &ids[table], false));
        let mut x = self.norm.forward(&pass, &pass.sum(&pass.sum(&word?, &place?)?, &kind?)?)?;
        for block in &self.blocks {
            let [query, key, value] = [&block.query, &block.key, &block.value].map(|layer| layer.forward(&pass, &x));
            let attended = block.attended.forward(&pass, &self.attend(texts, [&query?, &key?, &value?])?)?;
            x = block.attention_norm.forward(&pass, &pass.sum(&attended, &x)?)?;
            let inner = activation::gelu(&pass, &block.widen.forward(&pass, &x)?)?;
            x = block.output_norm.forward(&pass, &pass.sum(&block.narrow.forward(&pass, &inner)?, &x)?)?;
        }
        Ok(x)
    }

    /// What each place reads of its own text, in both directions.
    fn attend(&self, texts: &[&[u32]], tensors: [&Tensor; 3]) -> Result<Tensor> {
        let width = tensors[0].dim(1)?;
        let mut start = 0;
        let mut attended = Vec::with_capacity(texts.len());
        for length in texts.iter().map(|text| text.len()) {
            // (T,C) → (H,T,C/H).
            let heads = |tensor: &Tensor| {
                let own = tensor.narrow(0, start, length)?.reshape((length, self.heads, width / self.heads))?;
                own.transpose(0, 1)?.contiguous()
            };
            let [query, key, value] = [heads(tensors[0])?, heads(tensors[1])?, heads(tensors[2])?];
            let scores = (query.matmul(&key.t()?)? / ((width / self.heads) as f64).sqrt())?;
            let read = candle_nn::ops::softmax(&scores, D::Minus1)?.matmul(&value)?;
            attended.push(read.transpose(0, 1)?.reshape((length, width))?);
            start += length;
        }
        Ok(Tensor::cat(&attended, 0)?)
    }
}
