//! A name → a language model that cells can hold, clone, print, train and save.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use crate::data::jsonl::write_whole;
use crate::error::{Error, Result};
use crate::hub;
use crate::model::config::NeoxConfig;
use crate::model::neox::{Cache, Neox};
use crate::model::weights::{self, Weights};
use crate::tokenizer::text::Tokenizer;

/// Loads tokenizers by name, like its namesake in transformers.
#[derive(Debug)]
pub struct AutoTokenizer;

impl AutoTokenizer {
    /// The tokenizer of a `builtin:` name, a folder or a hub repository.
    pub fn from_pretrained(name: &str) -> Result<Tokenizer> {
        Tokenizer::from_folder(&hub::model_folder(name)?)
    }
}

/// Loads models by name, like its namesake in transformers.
#[derive(Debug)]
pub struct AutoModelForCausalLM;

impl AutoModelForCausalLM {
    /// The model of a `builtin:` name, a folder or a hub repository, on [`best_device`].
    pub fn from_pretrained(name: &str) -> Result<CausalLm> {
        CausalLm::from_folder(&hub::model_folder(name)?, &best_device())
    }
}

/// CUDA when the crate was built with the feature `cuda` and a GPU answers, else the CPU.
pub fn best_device() -> Device {
    Device::cuda_if_available(0).unwrap_or(Device::Cpu)
}

/// A causal language model. A clone shares the weights: training one trains the other.
#[derive(Debug, Clone)]
pub struct CausalLm {
    model: Arc<Neox>,
    folder: Option<PathBuf>,
}

impl CausalLm {
    /// Reads `config.json` and the weights of a checkpoint folder.
    pub fn from_folder(folder: &Path, device: &Device) -> Result<Self> {
        let config = NeoxConfig::from_folder(folder)?;
        let weights = weights::load(folder, &Neox::parameter_shapes(&config), device)?;
        Ok(Self { model: Arc::new(Neox::new(config, weights, device)), folder: Some(folder.to_path_buf()) })
    }

    /// A model with random weights; `tokenizer` is the one whose files belong into its checkpoints.
    pub fn random(config: NeoxConfig, seed: u64, tokenizer: Option<&Tokenizer>, device: &Device) -> Result<Self> {
        let folder = tokenizer.map(|tokenizer| tokenizer.folder().to_path_buf());
        Ok(Self { model: Arc::new(Neox::random(config, seed, device)?), folder })
    }

    /// A copy with weights of its own.
    pub fn deep_clone(&self) -> Result<Self> {
        let mut copies = Vec::new();
        for (name, var) in self.weights() {
            copies.push((name.clone(), candle_core::Var::from_tensor(&var.as_tensor().copy()?)?));
        }
        let model = Neox::new(self.config().clone(), copies, self.device());
        Ok(Self { model: Arc::new(model), folder: self.folder.clone() })
    }

    /// The shape of the model.
    pub fn config(&self) -> &NeoxConfig {
        self.model.config()
    }

    /// The parameters by name, in the order of transformers.
    pub fn weights(&self) -> &Weights {
        self.model.weights()
    }

    /// Where the weights are.
    pub fn device(&self) -> &Device {
        self.model.device()
    }

    /// Logits `(B·T, V)` of ids `(B,T)`, row-major; `training` turns dropout on.
    pub fn forward(&self, ids: &[u32], batch: usize, training: bool) -> Result<Tensor> {
        Ok(self.model.forward(ids, batch, training)?)
    }

    /// Logits `(1,V)` of the position after `ids`, which follow those already in the cache.
    pub fn forward_cached(&self, ids: &[u32], cache: &mut Cache) -> Result<Tensor> {
        Ok(self.model.forward_cached(ids, cache)?)
    }

    /// Number of trainable numbers.
    pub fn parameter_count(&self) -> usize {
        self.weights().iter().map(|(_, var)| var.elem_count()).sum()
    }

    /// Number of parameters without the input embedding, as transformers counts them for FLOPs.
    pub fn non_embedding_parameter_count(&self) -> usize {
        self.parameter_count() - self.config().vocab_size * self.config().hidden_size
    }

    /// Bytes of the parameters in memory (four each).
    pub fn memory_footprint(&self) -> usize {
        4 * self.parameter_count()
    }

    /// Bytes that `get_memory_footprint` of transformers reports, which adds buffers: the causal masks of each layer in
    /// older versions (first), and cached rotary tables besides in later ones (second).
    pub fn transformers_memory_footprint(&self) -> [usize; 2] {
        let config = self.config();
        let (positions, rotary) = (config.max_position_embeddings, config.rotary_dimensions());
        let mask = positions * positions;
        let scalars = 4 + 4 * rotary / 2;
        let older = config.num_hidden_layers * (mask + scalars + 4);
        let later = config.num_hidden_layers * (mask + scalars + 2 * 4 * positions * rotary);
        [self.memory_footprint() + older, self.memory_footprint() + later]
    }

    /// Floating point operations of training on this many tokens: `6 · tokens · non-embedding parameters`, the estimate
    /// of Kaplan et al. 2020 that transformers logs as `total_flos`.
    pub fn floating_point_ops(&self, tokens: usize) -> f64 {
        6.0 * tokens as f64 * self.non_embedding_parameter_count() as f64
    }

    /// Writes a checkpoint that transformers opens: `config.json`, `model.safetensors` (f32) and the tokenizer files.
    pub fn save_pretrained(&self, folder: impl AsRef<Path>) -> Result<()> {
        self.save_pretrained_as(folder, DType::F32)
    }

    /// [`CausalLm::save_pretrained`] in another number format (F32, F16 or BF16).
    pub fn save_pretrained_as(&self, folder: impl AsRef<Path>, dtype: DType) -> Result<()> {
        let folder = folder.as_ref();
        std::fs::create_dir_all(folder).map_err(|error| Error::file(folder, error))?;
        if let Some(source) = self.folder.as_deref().filter(|source| *source != folder) {
            for name in ["tokenizer.json", "tokenizer_config.json"] {
                if let Ok(bytes) = std::fs::read(source.join(name)) {
                    write_whole(&folder.join(name), &bytes)?;
                }
            }
        }
        weights::save(&folder.join("model.safetensors"), self.weights(), dtype)?;
        let dtype = match dtype {
            DType::F16 => "float16",
            DType::BF16 => "bfloat16",
            _ => "float32",
        };
        let config = NeoxConfig { torch_dtype: dtype.into(), ..self.config().clone() };
        let json = serde_json::to_string_pretty(&config).unwrap_or_default() + "\n";
        write_whole(&folder.join("config.json"), json.as_bytes())
    }

    /// Takes over the weights of a checkpoint folder, in place.
    pub fn load_weights(&self, folder: &Path) -> Result<()> {
        let loaded = weights::load(folder, &Neox::parameter_shapes(self.config()), self.device())?;
        for ((_, own), (_, new)) in self.weights().iter().zip(&loaded) {
            own.set(new.as_tensor())?;
        }
        Ok(())
    }
}

impl fmt::Display for CausalLm {
    /// The model as PyTorch prints one.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = self.config();
        let (c, m, v) = (config.hidden_size, config.intermediate_size, config.vocab_size);
        let norm = format!("LayerNorm(({c},), eps={:e}, elementwise_affine=True)", config.layer_norm_eps);
        writeln!(formatter, "GPTNeoXForCausalLM(")?;
        writeln!(formatter, "  (gpt_neox): GPTNeoXModel(")?;
        writeln!(formatter, "    (embed_in): Embedding({v}, {c})")?;
        writeln!(formatter, "    (layers): ModuleList(")?;
        writeln!(formatter, "      (0-{}): {} x GPTNeoXLayer(", config.num_hidden_layers.saturating_sub(1), config.num_hidden_layers)?;
        writeln!(formatter, "        (input_layernorm): {norm}")?;
        writeln!(formatter, "        (post_attention_layernorm): {norm}")?;
        writeln!(formatter, "        (attention): GPTNeoXAttention(")?;
        writeln!(
            formatter,
            "          (rotary_emb): GPTNeoXRotaryEmbedding({} of {} dimensions a head)",
            config.rotary_dimensions(),
            config.head_size()
        )?;
        writeln!(formatter, "          (query_key_value): Linear(in_features={c}, out_features={}, bias=True)", 3 * c)?;
        writeln!(formatter, "          (dense): Linear(in_features={c}, out_features={c}, bias=True)")?;
        writeln!(formatter, "        )")?;
        writeln!(formatter, "        (mlp): GPTNeoXMLP(")?;
        writeln!(formatter, "          (dense_h_to_4h): Linear(in_features={c}, out_features={m}, bias=True)")?;
        writeln!(formatter, "          (dense_4h_to_h): Linear(in_features={m}, out_features={c}, bias=True)")?;
        writeln!(formatter, "          (act): GELUActivation()")?;
        writeln!(formatter, "        )\n      )\n    )")?;
        writeln!(formatter, "    (final_layer_norm): {norm}\n  )")?;
        write!(formatter, "  (embed_out): Linear(in_features={c}, out_features={v}, bias=False)\n)")
    }
}
