//! (model, settings) → a model that shares the weights, frozen, and learns a low-rank change of some matrices: LoRA.
//!
//! Hu et al. 2021; names, defaults and the first values are those of PEFT. The files are written in [`crate::lora::peft`].

use candle_core::{Tensor, Var};

use crate::data::split::Pcg64;
use crate::error::{Error, ErrorKind, Result};
use crate::formats::safetensors::{Packed, Weights};
use crate::models::causal::CausalLm;
use crate::models::config::Config;
use crate::models::decoder::Decoder;
use crate::models::llama::model as llama;
use crate::models::neox::model as neox;
use crate::models::phi::model as phi;
use crate::nn::linear::{Adapter, Weight};
use crate::nn::parameter::Parameter;
use crate::util::names::quoted;

pub(crate) use crate::lora::peft::{CONFIG, base_name};

/// All matrices of the blocks.
const ALL: &str = "all-linear";

/// Settings of an adapter: PEFT's `LoraConfig`, with its names and defaults.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraConfig {
    /// Rank R of the change. Default 8.
    pub r: usize,
    /// The change counts `lora_alpha / r` times. Default 8.
    pub lora_alpha: f64,
    /// Which matrices change, by the end of their name, or `all-linear`. Default: what PEFT chooses for the family,
    /// `query_key_value`, `q_proj` and `v_proj`, or in Phi these with `fc1` and `fc2`; in Phi-3 `qkv_proj`.
    pub target_modules: Vec<String>,
    /// The change counts `lora_alpha / √r` times instead (Kalajdzievski 2023). Default false.
    pub use_rslora: bool,
    /// Seed of A's first values; B starts at 0, so that the model answers as before. Default 42.
    pub seed: u64,
    /// The model below; where empty, the name or folder by which it was loaded.
    pub base_model_name_or_path: String,
}

impl Default for LoraConfig {
    fn default() -> Self {
        Self { r: 8, lora_alpha: 8.0, target_modules: Vec::new(), use_rslora: false, seed: 42, base_model_name_or_path: String::new() }
    }
}

impl LoraConfig {
    /// What `B · A` is multiplied by.
    pub fn scale(&self) -> f64 {
        self.lora_alpha / if self.use_rslora { (self.r as f64).sqrt() } else { self.r as f64 }
    }

    fn check(&self) -> Result<()> {
        if self.r == 0 || !self.lora_alpha.is_finite() {
            return Err(Error::new(
                ErrorKind::Model,
                format!("LoraConfig: r is {} and lora_alpha {}; r must be at least 1, lora_alpha a finite number", self.r, self.lora_alpha),
            )
            .hint("use `LoraConfig { r: 8, lora_alpha: 8.0, ..Default::default() }`"));
        }
        Ok(())
    }
}

/// PEFT's name of a matrix of an adapter: `which` is `A` or `B`.
pub(crate) fn tensor_name(module: &str, which: &str) -> String {
    format!("base_model.model.{module}.lora_{which}.weight")
}

/// Whether a parameter belongs to an adapter.
pub(crate) fn is_adapter(name: &str) -> bool {
    name.starts_with("base_model.model.")
}

/// A model of these weights. Names decide: packed matrices stand in place of parameters, and a layer with parameters of
/// an adapter gets it.
pub(crate) fn decoder(config: &Config, weights: Weights, packed: Packed, scale: f64) -> Decoder {
    let mut named = weights.clone();
    if let Some((_, first)) = weights.first() {
        // Holds the place until the layers are there.
        named.extend(packed.iter().map(|(name, _)| (name.clone(), first.clone())));
    }
    let names: Vec<String> = named.iter().map(|(name, _)| name.clone()).collect();
    let mut decoder = match config {
        Config::Neox(config) => neox::decoder(config, named),
        Config::Llama(config) => llama::decoder(config, named),
        Config::Phi(config) => phi::decoder(config, named),
    };
    let parameter = |name: &str| weights.iter().find(|(own, _)| own == name).map(|(_, parameter)| parameter.clone());
    for (index, block) in decoder.blocks.iter_mut().enumerate() {
        for (last, linear) in block.linears() {
            let Some(module) = module_name(&names, index, last) else { continue };
            let weight = format!("{module}.weight");
            if let Some((_, packed)) = packed.iter().find(|(name, _)| *name == weight) {
                linear.weight = Weight::Packed(packed.clone());
            }
            if let (Some(a), Some(b)) = (parameter(&tensor_name(module, "A")), parameter(&tensor_name(module, "B"))) {
                linear.adapter = Some(Adapter { a, b, scale });
            }
        }
    }
    let matrix = |name: &str| packed.iter().find(|(own, _)| own == name).map(|(_, matrix)| Weight::Packed(matrix.clone()));
    if let Some(weight) = matrix(config.embedding_name()) {
        decoder.embedding.weight = weight;
    }
    if let Some(weight) = matrix(config.head_name()) {
        decoder.head = weight;
    }
    decoder.weights = weights;
    decoder.packed = packed;
    decoder
}

/// The whole name of a layer's part, such as `gpt_neox.layers.0.attention.dense`.
fn module_name<'a>(names: &'a [String], layer: usize, last: &str) -> Option<&'a str> {
    let (layer, end) = (format!(".layers.{layer}."), format!(".{last}.weight"));
    let name = names.iter().find(|name| !is_adapter(name) && name.contains(&layer) && name.ends_with(&end))?;
    name.strip_suffix(".weight")
}

impl CausalLm {
    /// Names and shapes of the matrices of all blocks.
    fn matrices(&self) -> Vec<(String, [usize; 2])> {
        let shapes = crate::models::causal::parameter_shapes(self.config()).into_iter();
        shapes
            .filter_map(|(name, shape)| Some((name.strip_suffix(".weight")?.to_string(), <[usize; 2]>::try_from(shape).ok()?)))
            .filter(|(name, _)| name.contains(".layers."))
            .collect()
    }

    /// The matrices that `targets` names; a target that fits none is an error.
    pub(crate) fn targets(&self, targets: &[String]) -> Result<Vec<(String, [usize; 2])>> {
        let matrices = self.matrices();
        if targets == [ALL] {
            return Ok(matrices);
        }
        let fits = |name: &str, target: &str| name == target || name.ends_with(&format!(".{target}"));
        let unknown: Vec<String> = targets.iter().filter(|target| !matrices.iter().any(|(name, _)| fits(name, target))).cloned().collect();
        if unknown.is_empty() && !targets.is_empty() {
            return Ok(matrices.into_iter().filter(|(name, _)| targets.iter().any(|target| fits(name, target))).collect());
        }
        let mut valid: Vec<String> = Vec::new();
        for (name, _) in &matrices {
            let last = name.rsplit('.').next().unwrap_or(name).to_string();
            if !valid.contains(&last) {
                valid.push(last);
            }
        }
        valid.push(ALL.to_string());
        let given = if targets.is_empty() { "nothing".to_string() } else { quoted(&unknown) };
        Err(Error::new(ErrorKind::Model, format!("target_modules names {given}; this model has {}", quoted(&valid)))
            .hint(format!("choose among them, or leave target_modules empty for {}", quoted(&self.usual_targets()))))
    }

    fn usual_targets(&self) -> Vec<String> {
        let names: &[&str] = match self.config() {
            Config::Neox(_) => &["query_key_value"],
            Config::Llama(config) if config.is_fused() => &["qkv_proj"],
            Config::Llama(_) => &["q_proj", "v_proj"],
            Config::Phi(_) => &["q_proj", "v_proj", "fc1", "fc2"],
        };
        names.iter().map(|name| name.to_string()).collect()
    }

    /// A model that shares these weights, frozen, and has a fresh adapter, which is all that training changes. This model
    /// stays trainable; training it changes the weights below the adapter as well.
    pub fn with_lora(&self, config: &LoraConfig) -> Result<Self> {
        config.check()?;
        if self.lora().is_some() {
            return Err(Error::new(ErrorKind::Model, "the model already has an adapter")
                .hint("call merge_adapter() first, or with_lora() on the model below"));
        }
        let mut config = config.clone();
        if config.target_modules.is_empty() {
            config.target_modules = self.usual_targets();
        }
        if config.base_model_name_or_path.is_empty() {
            config.base_model_name_or_path = self.origin().unwrap_or_default();
        }
        let mut weights: Weights = self.weights().iter().map(|(name, parameter)| (name.clone(), parameter.frozen_view())).collect();
        let mut random = Pcg64::new(config.seed);
        for (module, [outputs, inputs]) in self.targets(&config.target_modules)? {
            // Kaiming-uniform with a = √5: between ∓1 / √inputs.
            let bound = 1.0 / (inputs as f64).sqrt();
            let a: Vec<f32> = (0..config.r * inputs).map(|_| (bound * (2.0 * random.next_f64() - 1.0)) as f32).collect();
            let a = Tensor::from_vec(a, (config.r, inputs), self.device())?;
            let b = Tensor::zeros((outputs, config.r), candle_core::DType::F32, self.device())?;
            for (which, tensor) in [("A", a), ("B", b)] {
                weights.push((tensor_name(&module, which), Parameter::new(Var::from_tensor(&tensor)?)));
            }
        }
        Ok(self.assembled(weights, self.packed().clone(), Some(config)))
    }

    /// The model below the adapter, its weights shared and frozen.
    pub fn without_adapter(&self) -> Self {
        let weights = self.weights().iter().filter(|(name, _)| !is_adapter(name));
        let frozen = weights.map(|(name, parameter)| (name.clone(), parameter.frozen_view())).collect();
        self.assembled(frozen, self.packed().clone(), None)
    }

    /// A model of its own, without an adapter, that computes the same: `W + scale · B · A` in place of each changed matrix.
    /// Packed matrices are unpacked.
    pub fn merge_adapter(&self) -> Result<Self> {
        let Some(lora) = self.lora() else {
            return Err(Error::new(ErrorKind::Model, "the model has no adapter to merge").hint("call `with_lora` or `load_adapter` first"));
        };
        let find = |name: &str| self.weights().iter().find(|(own, _)| own == name).map(|(_, parameter)| parameter.detached());
        let mut merged = Vec::new();
        for (name, parameter) in self.full_weights()? {
            let module = name.trim_end_matches(".weight");
            let copy = match (find(&tensor_name(module, "A")), find(&tensor_name(module, "B"))) {
                (Some(a), Some(b)) => Parameter::new(Var::from_tensor(&(parameter.detached() + (b.matmul(&a)? * lora.scale())?)?)?),
                _ => parameter.deep_clone()?,
            };
            copy.set_frozen(false);
            merged.push((name, copy));
        }
        Ok(self.assembled(merged, Vec::new(), None))
    }

    /// Refuses a model in which training would change nothing.
    pub(crate) fn check_trainable(&self) -> Result<()> {
        if self.trainable_parameter_count() > 0 {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Training, format!("all {} parameters of the model are frozen", self.parameter_count()))
            .hint("train an adapter: `model.with_lora(&LoraConfig::default())?`"))
    }
}
