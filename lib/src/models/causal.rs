//! A name → a language model that cells can hold, clone, print, train and save.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device, Tensor};

use crate::data::jsonl::write_whole;
use crate::error::{Error, ErrorKind, Result};
use crate::formats::gguf;
use crate::formats::safetensors::{self, Packed, Weights};
use crate::hub::options::HubOptions;
use crate::lora::adapter::{self, LoraConfig};
use crate::models::config::Config;
use crate::models::decoder::{Cache, Decoder, Lesson};
use crate::models::llama::model as llama;
use crate::models::neox::model as neox;
use crate::models::phi::model as phi;
use crate::models::quantize::packed_format;
use crate::nn::backend::in_pool;
use crate::nn::check;
use crate::source::resolve;
use crate::tokenizer;
use crate::tokenizer::gguf::Documents;
use crate::tokenizer::text::Tokenizer;
use compute::cpu::loss::Targets;

/// Loads tokenizers by name, like its namesake in transformers.
#[derive(Debug)]
pub struct AutoTokenizer;

impl AutoTokenizer {
    /// The tokenizer of a `builtin:` name, a folder, a hub repository, or a `.gguf` file without a `tokenizer.json` beside it.
    pub fn from_pretrained(name: &str) -> Result<Tokenizer> {
        Self::from_pretrained_with(name, &HubOptions::default())
    }

    /// [`AutoTokenizer::from_pretrained`] with a revision, a token, or another cache.
    pub fn from_pretrained_with(name: &str, options: &HubOptions) -> Result<Tokenizer> {
        let folder = resolve::tokenizer_folder(name, options)?;
        match gguf::read::file(name, &folder, options.gguf_file.as_deref())?.filter(|_| !folder.join("tokenizer.json").is_file()) {
            Some(path) => Tokenizer::from_gguf(&path),
            None => Tokenizer::from_folder(&folder),
        }
    }
}

/// Loads models by name, like its namesake in transformers.
#[derive(Debug)]
pub struct AutoModelForCausalLM;

impl AutoModelForCausalLM {
    /// The model of a `builtin:` name, a folder, a `.gguf` file or a hub repository, on [`best_device`]. A folder with an adapter
    /// gives the model that its `adapter_config.json` names, with the adapter on it. The weights are f32; those of a `.gguf` file stay
    /// packed as they are (see [`CausalLm::quantized`]).
    pub fn from_pretrained(name: &str) -> Result<CausalLm> {
        Self::from_pretrained_with(name, &HubOptions::default())
    }

    /// [`AutoModelForCausalLM::from_pretrained`] with a revision, a token, or another cache. The model below an adapter comes
    /// with the same options, from its `main`.
    pub fn from_pretrained_with(name: &str, options: &HubOptions) -> Result<CausalLm> {
        Self::load(name, None, options)
    }

    /// [`AutoModelForCausalLM::from_pretrained`] with the matrices in a number format of 16 bits, F16 or BF16: transformers'
    /// `from_pretrained(name, dtype=...)`, for generation with half the memory and about twice the speed (see [`CausalLm::to_dtype`]).
    /// F32 unpacks the weights of a `.gguf` file, so that they can be trained.
    pub fn from_pretrained_as(name: &str, dtype: DType) -> Result<CausalLm> {
        Self::load(name, Some(dtype), &HubOptions::default())
    }

    fn load(name: &str, dtype: Option<DType>, options: &HubOptions) -> Result<CausalLm> {
        let format = dtype.map(packed_format).transpose()?.flatten();
        let (folder, device) = (resolve::model_folder(name, options)?, best_device());
        if folder.join(adapter::CONFIG).is_file() {
            let base = adapter::base_name(&folder)?;
            let options = HubOptions { revision: HubOptions::default().revision, ..options.clone() };
            return CausalLm { name: Some(base.clone()), ..Self::load(&base, dtype, &options)? }.load_adapter(folder);
        }
        let model = match gguf::read::file(name, &folder, options.gguf_file.as_deref())? {
            Some(path) => {
                let (config, weights, packed) = gguf::read::read(&path, &device)?;
                let model = CausalLm::new(config, weights, packed, &device, Some(folder));
                dtype.map_or(Ok(model.clone()), |dtype| model.to_dtype(dtype))?
            }
            None => CausalLm::read(&folder, format, &device)?,
        };
        Ok(CausalLm { name: Some(name.to_string()), ..model })
    }
}

/// CUDA when the crate was built with the feature `cuda` and a GPU answers, else the CPU. Once in a process a line on stderr
/// says why a GPU is not used, where one is expected: the feature is on, or the machine has an NVIDIA driver.
pub fn best_device() -> Device {
    static SAID: Once = Once::new();
    let reason = match Device::cuda_if_available(0) {
        Ok(device) if device.is_cuda() => return device,
        Ok(_) if Path::new(NVIDIA_DRIVER).exists() => "the crate was built without the feature `cuda`".to_string(),
        Ok(_) => return Device::Cpu,
        Err(error) => format!("CUDA says: {}", error.to_string().lines().next().unwrap_or_default()),
    };
    SAID.call_once(|| eprintln!("no GPU is used, the CPU computes: {reason}"));
    Device::Cpu
}

/// Where Linux says that an NVIDIA driver runs.
const NVIDIA_DRIVER: &str = "/proc/driver/nvidia/version";

/// A causal language model. A clone shares the weights: training one trains the other.
#[derive(Debug, Clone)]
pub struct CausalLm {
    config: Arc<Config>,
    decoder: Arc<Decoder>,
    device: Device,
    folder: Option<PathBuf>,
    /// What it was loaded by.
    name: Option<String>,
    lora: Option<Arc<LoraConfig>>,
}

/// Names and shapes of all parameters of a model, in the order of transformers.
pub fn parameter_shapes(config: &Config) -> Vec<(String, Vec<usize>)> {
    match config {
        Config::Neox(config) => neox::parameter_shapes(config),
        Config::Llama(config) => llama::parameter_shapes(config),
        Config::Phi(config) => phi::parameter_shapes(config),
    }
}

impl CausalLm {
    fn new(config: Config, weights: Weights, packed: Packed, device: &Device, folder: Option<PathBuf>) -> Self {
        check::approve(device);
        let decoder = adapter::decoder(&config, weights, packed, 0.0);
        Self { config: Arc::new(config), decoder: Arc::new(decoder), device: device.clone(), folder, name: None, lora: None }
    }

    /// A model of the same shape, name and folder from other weights.
    pub(crate) fn assembled(&self, weights: Weights, packed: Packed, lora: Option<LoraConfig>) -> Self {
        let decoder = adapter::decoder(&self.config, weights, packed, lora.as_ref().map_or(0.0, LoraConfig::scale));
        Self { decoder: Arc::new(decoder), lora: lora.map(Arc::new), ..self.clone() }
    }

    /// Reads `config.json` and the weights of a checkpoint folder.
    pub fn from_folder(folder: &Path, device: &Device) -> Result<Self> {
        Self::read(folder, None, device)
    }

    fn read(folder: &Path, format: Option<GgmlDType>, device: &Device) -> Result<Self> {
        let config = Config::from_folder(folder)?;
        let (weights, packed) = safetensors::load(folder, &parameter_shapes(&config), format, device)?;
        Ok(Self::new(config, weights, packed, device, Some(folder.to_path_buf())))
    }

    /// A model with random weights: normal with deviation 0.02, norms 1 (Gemma's: 0, which is the same) and biases 0, as transformers starts one.
    /// `tokenizer` is the one whose files belong into its checkpoints.
    pub fn random(config: impl Into<Config>, seed: u64, tokenizer: Option<&Tokenizer>, device: &Device) -> Result<Self> {
        let config = config.into();
        let weights = safetensors::random(&parameter_shapes(&config), seed, device)?;
        if matches!(&config, Config::Llama(config) if config.is_gemma()) {
            // Gemma's norms store the distance from 1.
            for (_, norm) in weights.iter().filter(|(_, parameter)| parameter.rank() == 1) {
                norm.set(&norm.zeros_like()?)?;
            }
        }
        Ok(Self::new(config, weights, Vec::new(), device, tokenizer.map(|tokenizer| tokenizer.folder().to_path_buf())))
    }

    /// A copy with weights of its own; an adapter is copied, too.
    pub fn deep_clone(&self) -> Result<Self> {
        let mut copies = Vec::new();
        for (name, parameter) in self.weights() {
            copies.push((name.clone(), parameter.deep_clone()?));
        }
        Ok(self.assembled(copies, self.packed().clone(), self.lora().cloned()))
    }

    /// What computes: a training step calls it from inside of its own pool.
    pub(crate) fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// The shape of the model.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The parameters by name, in the order of transformers; those of an adapter follow, by PEFT's names.
    pub fn weights(&self) -> &Weights {
        &self.decoder.weights
    }

    /// The matrices that are packed (see [`CausalLm::quantized`]), by name.
    pub fn packed(&self) -> &Packed {
        &self.decoder.packed
    }

    /// The adapter's settings, where the model has one.
    pub fn lora(&self) -> Option<&LoraConfig> {
        self.lora.as_deref()
    }

    /// The name or folder by which the model can be loaded again.
    pub(crate) fn origin(&self) -> Option<String> {
        self.name.clone().or_else(|| Some(self.folder.as_ref()?.display().to_string()))
    }

    /// Where the weights are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Logits `(B·T, V)` of ids `(B,T)`, row-major; `training` turns dropout on and records gradients, which a backward
    /// pass adds to the weights' own (see [`crate::nn::parameter::Parameter::gradient`]).
    pub fn forward(&self, ids: &[u32], batch: usize, training: bool) -> Result<Tensor> {
        Ok(in_pool(|| self.decoder.logits(ids, &vec![ids.len() / batch; batch], training))?)
    }

    /// Logits `(1,V)` of the position after `ids`, which follow those already in the cache.
    pub fn forward_cached(&self, ids: &[u32], cache: &mut Cache) -> Result<Tensor> {
        Ok(in_pool(|| self.decoder.logits_cached(&[ids], cache))?)
    }

    /// Logits `(S,V)` after the new ids of each of S sequences, which follow those already in the cache.
    pub fn forward_cached_batch(&self, ids: &[&[u32]], cache: &mut Cache) -> Result<Tensor> {
        Ok(in_pool(|| self.decoder.logits_cached(ids, cache))?)
    }

    /// Negative log-probability of each target of sequences that stand one after the other, dropout off; 0 where the
    /// target's weight is 0.
    pub fn losses(&self, inputs: &[u32], lengths: &[usize], targets: Targets) -> Result<Vec<f32>> {
        Ok(in_pool(|| self.decoder.losses(inputs, lengths, targets))?)
    }

    /// Adds the gradients of `Σ weight · loss` to the weights' own; returns that loss.
    pub fn backward(&self, lesson: Lesson) -> Result<f64> {
        Ok(in_pool(|| self.decoder.backward(lesson))?)
    }

    /// Names the random numbers of dropout and noise from here on.
    pub fn set_seed(&self, seed: u64) {
        self.decoder.seed.store(seed, std::sync::atomic::Ordering::Relaxed);
    }

    /// Number of parameters, frozen and packed ones included.
    pub fn parameter_count(&self) -> usize {
        let packed = self.packed().iter().map(|(_, packed)| packed.shape().elem_count()).sum::<usize>();
        self.weights().iter().map(|(_, var)| var.elem_count()).sum::<usize>() + packed
    }

    /// Number of parameters that training changes.
    pub fn trainable_parameter_count(&self) -> usize {
        self.weights().iter().filter(|(_, parameter)| !parameter.is_frozen()).map(|(_, parameter)| parameter.elem_count()).sum()
    }

    /// Number of parameters without the input embedding, as transformers counts them for FLOPs.
    pub fn non_embedding_parameter_count(&self) -> usize {
        self.parameter_count() - self.config().vocab_size() * self.config().hidden_size()
    }

    /// Bytes of the parameters in memory: four each, fewer for packed ones.
    pub fn memory_footprint(&self) -> usize {
        let packed = self.packed().iter().map(|(_, packed)| packed.storage_size_in_bytes()).sum::<usize>();
        self.weights().iter().map(|(_, parameter)| 4 * parameter.elem_count()).sum::<usize>() + packed
    }

    /// Bytes that `get_memory_footprint` of transformers reports, which adds buffers: the causal masks of each layer in
    /// older versions (first), and cached rotary tables besides in later ones (second).
    pub fn transformers_memory_footprint(&self) -> [usize; 2] {
        let config = self.config();
        let (positions, rotary) = (config.max_position_embeddings(), 2 * self.decoder.heads.first().map_or(0, |heads| heads.rotary.half()));
        let mask = positions * positions;
        let scalars = 4 + 4 * rotary / 2;
        let older = config.num_hidden_layers() * (mask + scalars + 4);
        let later = config.num_hidden_layers() * (mask + scalars + 2 * 4 * positions * rotary);
        [self.memory_footprint() + older, self.memory_footprint() + later]
    }

    /// Floating point operations of training on this many tokens: `6 · tokens · non-embedding parameters`, the estimate
    /// of Kaplan et al. 2020 that transformers logs as `total_flos`.
    pub fn floating_point_ops(&self, tokens: usize) -> f64 {
        6.0 * tokens as f64 * self.non_embedding_parameter_count() as f64
    }

    /// Writes a checkpoint that transformers opens: `config.json`, `model.safetensors` (f32) and the tokenizer files. A model
    /// with an adapter writes the adapter alone, as PEFT does (see [`CausalLm::save_adapter`]); to write the whole,
    /// `model.merge_adapter()?.save_pretrained(folder)`.
    pub fn save_pretrained(&self, folder: impl AsRef<Path>) -> Result<()> {
        self.save_pretrained_as(folder, DType::F32)
    }

    /// [`CausalLm::save_pretrained`] in another number format (F32, F16 or BF16).
    pub fn save_pretrained_as(&self, folder: impl AsRef<Path>, dtype: DType) -> Result<()> {
        let folder = folder.as_ref();
        std::fs::create_dir_all(folder).map_err(|error| Error::file(folder, error))?;
        if let Some(source) = self.folder.as_deref().filter(|source| *source != folder) {
            for name in ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"] {
                if let Ok(bytes) = std::fs::read(source.join(name)) {
                    write_whole(&folder.join(name), &bytes)?;
                }
            }
            if let (false, Ok(Some(path))) = (source.join("tokenizer.json").is_file(), gguf::read::file("", source, None)) {
                let Documents { tokenizer, configuration } = tokenizer::gguf::documents(&path)?;
                write_whole(&folder.join("tokenizer.json"), tokenizer.to_string().as_bytes())?;
                write_whole(&folder.join("tokenizer_config.json"), format!("{configuration:#}\n").as_bytes())?;
            }
        }
        if self.lora().is_some() {
            return self.write_adapter(folder, dtype);
        }
        safetensors::save(&folder.join("model.safetensors"), &self.full_weights()?, dtype)?;
        let dtype = match dtype {
            DType::F16 => "float16",
            DType::BF16 => "bfloat16",
            _ => "float32",
        };
        let json = format!("{:#}\n", self.config().to_value(dtype));
        write_whole(&folder.join("config.json"), json.as_bytes())
    }

    /// Takes over the weights of a checkpoint folder, in place; with an adapter, those of the adapter.
    pub fn load_weights(&self, folder: &Path) -> Result<()> {
        if self.lora().is_some() {
            return self.read_adapter(folder);
        }
        if !self.packed().is_empty() {
            return Err(Error::new(ErrorKind::Model, "a packed model takes no other weights over")
                .hint("load the checkpoint with `AutoModelForCausalLM::from_pretrained` and call `quantized` on it"));
        }
        let (loaded, _) = safetensors::load(folder, &parameter_shapes(self.config()), None, self.device())?;
        for ((_, own), (_, new)) in self.weights().iter().zip(&loaded) {
            own.set(new.as_tensor())?;
        }
        Ok(())
    }
}

impl fmt::Display for CausalLm {
    /// The model as PyTorch prints one.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.config() {
            Config::Neox(config) => neox::describe(config, formatter)?,
            Config::Llama(config) => llama::describe(config, formatter)?,
            Config::Phi(config) => phi::describe(config, formatter)?,
        }
        self.lora().map_or(Ok(()), |lora| {
            let (trained, all) = (self.trainable_parameter_count(), self.parameter_count());
            let (r, targets, share) = (lora.r, lora.target_modules.join(", "), 100.0 * trained as f64 / all as f64);
            write!(formatter, "\nLoRA of rank {r} on {targets}: {trained} of {all} parameters are trainable ({share:.2} %)")
        })
    }
}
