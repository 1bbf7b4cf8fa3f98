//! Settings and matrices of a low-rank change of a weight (LoRA, Hu et al. 2021), and PEFT's names of them.

use crate::error::{Error, ErrorKind, Result};
use crate::nn::parameter::Parameter;

/// More rows and columns than a matrix has that is known.
const LARGEST_RANK: usize = 1 << 16;

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

    /// Refuses a rank that no matrix can have, and a scale that is no number.
    pub(crate) fn check(&self) -> Result<()> {
        if !(1..=LARGEST_RANK).contains(&self.r) || !self.lora_alpha.is_finite() {
            return Err(Error::new(
                ErrorKind::Model,
                format!(
                    "LoraConfig: r is {} and lora_alpha {}; r must be at least 1 and at most {LARGEST_RANK}, lora_alpha a finite number",
                    self.r, self.lora_alpha
                ),
            )
            .hint("use `LoraConfig { r: 8, lora_alpha: 8.0, ..Default::default() }`"));
        }
        Ok(())
    }
}

/// A low-rank change of a weight `(O,I)`: `scale · b · a`.
#[derive(Debug, Clone)]
pub struct Adapter {
    /// `(R,I)`.
    pub a: Parameter,
    /// `(O,R)`.
    pub b: Parameter,
    /// [`LoraConfig::scale`].
    pub scale: f64,
}

/// PEFT's name of a matrix of an adapter: `which` is `A` or `B`.
pub(crate) fn tensor_name(module: &str, which: &str) -> String {
    format!("base_model.model.{module}.lora_{which}.weight")
}

/// Whether a parameter belongs to an adapter.
pub(crate) fn is_adapter(name: &str) -> bool {
    name.starts_with("base_model.model.")
}

/// The whole name of a layer's part, such as `gpt_neox.layers.0.attention.dense`.
pub(crate) fn module_name<'a>(names: &'a [String], layer: usize, last: &str) -> Option<&'a str> {
    let (layer, end) = (format!(".layers.{layer}."), format!(".{last}.weight"));
    let name = names.iter().find(|name| !is_adapter(name) && name.contains(&layer) && name.ends_with(&end))?;
    name.strip_suffix(".weight")
}
