//! Settings and matrices of a low-rank change of a weight (LoRA, Hu et al. 2021), and PEFT's names of them.

use std::collections::HashMap;

use candle_core::{Result as Computed, Tensor};

use crate::error::{Error, ErrorKind, Result};
use crate::nn::activation::dropout;
use crate::nn::parameter::Parameter;
use crate::nn::tape::Pass;
use compute::cpu::activation::scramble;

/// More rows and columns than a matrix has that is known.
const LARGEST_RANK: usize = 1 << 16;
/// Patterns of one kind: a model of 126 layers has 900 matrices.
const PATTERNS: usize = 1 << 12;
/// What the names of an adapter's parameters begin with.
const PREFIX: &str = "base_model.model.";
/// Sets the random numbers of an adapter apart from those of the layers.
const DROPOUT: u64 = 0x6c6f_7261;

/// Settings of an adapter: PEFT's `LoraConfig`, with its names and defaults.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraConfig {
    /// Rank R of the change, at most the smaller side of a matrix. Default 8.
    pub r: usize,
    /// The change counts `lora_alpha / r` times. Default 8.
    pub lora_alpha: f64,
    /// Which matrices change, by the end of their name, or `all-linear`. Default: what PEFT chooses for the family,
    /// `query_key_value`, `q_proj` and `v_proj`, or in Phi these with `fc1` and `fc2`; in Phi-3 `qkv_proj`.
    pub target_modules: Vec<String>,
    /// The same by a regular expression that fits the whole name, such as `.*\.layers\.[01]\..*_proj`, in place of
    /// `target_modules`; in PEFT's file it is a `target_modules` that is no list. Default none.
    pub target_regex: Option<String>,
    /// Matrices that stay as they are all the same, by the end of their name. Default none.
    pub exclude_modules: Vec<String>,
    /// The same by a regular expression that fits the whole name, in place of `exclude_modules`. Default none.
    pub exclude_regex: Option<String>,
    /// The layers whose matrices change, from 0 on; with a list of `target_modules` alone. Default: all.
    pub layers_to_transform: Option<Vec<usize>>,
    /// What stands before a layer's number in the names, as regular expressions. Default: anything.
    pub layers_pattern: Vec<String>,
    /// Another rank of some matrices: a regular expression that fits the end of their name, behind a dot, and the rank. The first that
    /// fits counts. Default none.
    pub rank_pattern: Vec<(String, usize)>,
    /// Another alpha of some matrices, named in the same way. Default none.
    pub alpha_pattern: Vec<(String, f64)>,
    /// The change counts `lora_alpha / √r` times instead (Kalajdzievski 2023). Default false.
    pub use_rslora: bool,
    /// Learns the length of each row of a matrix apart from its direction (DoRA, Liu et al. 2024). Each pass then computes with the
    /// whole changed matrix: merge the adapter before generating. Weight decay leaves the lengths alone, as all vectors. Default false.
    pub use_dora: bool,
    /// The part of the inputs that the change does not see, in training only. Default 0.
    pub lora_dropout: f64,
    /// Biases of the model that are trained as well. Default none.
    pub bias: LoraBias,
    /// Modules that are trained whole, as a copy, and saved with the adapter, by the end of their name: `lm_head`, `embed_tokens`, a
    /// norm. Default none.
    pub modules_to_save: Vec<String>,
    /// The first values of A and B. Default [`LoraInit::Kaiming`].
    pub init_lora_weights: LoraInit,
    /// Seed of the first values. Default 42.
    pub seed: u64,
    /// The model below; where empty, the name or folder by which it was loaded.
    pub base_model_name_or_path: String,
}

/// Which biases of the model below are trained with an adapter, as a copy: `bias` of PEFT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum LoraBias {
    /// `none`.
    #[default]
    None,
    /// `all`: those of norms as well.
    All,
    /// `lora_only`: those of the matrices that change.
    LoraOnly,
}

/// The first values of an adapter: `init_lora_weights` of PEFT. Those that change the model below (`pissa`, `olora`, `corda`, `loftq`,
/// `lora_ga`) are not offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum LoraInit {
    /// `true`: A between ∓1 / √inputs, B 0, so that the model answers as before.
    #[default]
    Kaiming,
    /// `gaussian`: A normal with deviation 1 / r, B 0.
    Gaussian,
    /// `false`: A between ∓1 / √inputs, B between ∓1 / √r: the model answers otherwise from the start.
    Random,
}

impl Default for LoraConfig {
    fn default() -> Self {
        Self {
            r: 8,
            lora_alpha: 8.0,
            target_modules: Vec::new(),
            target_regex: None,
            exclude_modules: Vec::new(),
            exclude_regex: None,
            layers_to_transform: None,
            layers_pattern: Vec::new(),
            rank_pattern: Vec::new(),
            alpha_pattern: Vec::new(),
            use_rslora: false,
            use_dora: false,
            lora_dropout: 0.0,
            bias: LoraBias::default(),
            modules_to_save: Vec::new(),
            init_lora_weights: LoraInit::default(),
            seed: 42,
            base_model_name_or_path: String::new(),
        }
    }
}

impl LoraConfig {
    /// What `B · A` is multiplied by, where no pattern says otherwise.
    pub fn scale(&self) -> f64 {
        self.scale_of(self.r, self.lora_alpha)
    }

    /// The same of a matrix with a rank and an alpha of its own.
    pub(crate) fn scale_of(&self, r: usize, alpha: f64) -> f64 {
        alpha / if self.use_rslora { (r as f64).sqrt() } else { r as f64 }
    }

    /// Refuses what no matrix can have, and settings that contradict each other.
    pub(crate) fn check(&self) -> Result<()> {
        let refuse = |what: String, hint: &str| Err(Error::new(ErrorKind::Model, format!("LoraConfig: {what}")).hint(hint));
        let ranks = self.rank_pattern.iter().map(|(name, r)| (format!("rank_pattern of `{name}`"), *r));
        for (name, r) in std::iter::once(("r".to_string(), self.r)).chain(ranks) {
            if !(1..=LARGEST_RANK).contains(&r) {
                let what =
                    format!("{name} is {r} and lora_alpha {}; a rank must be at least 1 and at most {LARGEST_RANK}", self.lora_alpha);
                return refuse(what, "use `LoraConfig { r: 8, lora_alpha: 8.0, ..Default::default() }`");
            }
        }
        if let Some(alpha) =
            std::iter::once(self.lora_alpha).chain(self.alpha_pattern.iter().map(|(_, alpha)| *alpha)).find(|a| !a.is_finite())
        {
            return refuse(
                format!("r is {} and an alpha {alpha}; it must be a finite number", self.r),
                "set lora_alpha to r, or to twice as much",
            );
        }
        if !(0.0..1.0).contains(&self.lora_dropout) {
            return refuse(format!("lora_dropout is {}; it must be at least 0 and below 1", self.lora_dropout), "0.05 and 0.1 are usual");
        }
        for (field, count) in [
            ("rank_pattern", self.rank_pattern.len()),
            ("alpha_pattern", self.alpha_pattern.len()),
            ("layers_pattern", self.layers_pattern.len() * 64),
        ] {
            if count > PATTERNS {
                return refuse(format!("{field} has too many entries"), "write one regular expression for many matrices");
            }
        }
        for (field, other, both) in [
            ("target_regex", "target_modules", self.target_regex.is_some() && !self.target_modules.is_empty()),
            ("exclude_regex", "exclude_modules", self.exclude_regex.is_some() && !self.exclude_modules.is_empty()),
            ("layers_to_transform", "target_regex", self.layers_to_transform.is_some() && self.target_regex.is_some()),
        ] {
            if both {
                return refuse(format!("{field} and {other} are both set"), "say in one of them which matrices you mean");
            }
        }
        if !self.layers_pattern.is_empty() && self.layers_to_transform.is_none() {
            return refuse("layers_pattern is set without layers_to_transform".into(), "name the layers in layers_to_transform");
        }
        Ok(())
    }
}

/// An adapter as it stands on a model: its settings, and the factor of each module that it changes.
#[derive(Debug, Clone)]
pub(crate) struct Applied {
    pub config: LoraConfig,
    pub scales: HashMap<String, f64>,
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
    /// The length of each row of the changed weight `(O)`, in DoRA.
    pub magnitude: Option<Parameter>,
    /// [`LoraConfig::lora_dropout`].
    pub dropout: f64,
    /// Names the random numbers of this layer.
    pub place: u64,
}

impl Adapter {
    /// The inputs without those that are dropped; none where nothing is.
    pub(crate) fn dropped(&self, pass: &Pass, x: &Tensor) -> Computed<Option<Tensor>> {
        let Some(seed) = pass.seed().filter(|_| self.dropout > 0.0) else { return Ok(None) };
        dropout(pass, x, self.dropout, scramble(scramble(seed ^ DROPOUT).wrapping_add(self.place))).map(Some)
    }
}

/// PEFT's name of a matrix of an adapter: `which` is `A` or `B`.
pub(crate) fn tensor_name(module: &str, which: &str) -> String {
    format!("{PREFIX}{module}.lora_{which}.weight")
}

/// PEFT's name of the lengths of a matrix's rows.
pub(crate) fn magnitude_name(module: &str) -> String {
    format!("{PREFIX}{module}.lora_magnitude_vector")
}

/// PEFT's name of a copy that is trained in place of a parameter; that of a bias beside a matrix that changes is another one.
pub(crate) fn copy_name(parameter: &str, is_beside_change: bool) -> String {
    match parameter.strip_suffix(".bias").filter(|_| is_beside_change) {
        Some(module) => format!("{PREFIX}{module}.base_layer.bias"),
        None => format!("{PREFIX}{parameter}"),
    }
}

/// Whether a parameter belongs to an adapter.
pub(crate) fn is_adapter(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// Whether a parameter of an adapter is a factor of a change, and no copy and no length.
pub(crate) fn is_factor(name: &str) -> bool {
    is_adapter(name) && (name.ends_with(".lora_A.weight") || name.ends_with(".lora_B.weight"))
}

/// The whole name of a layer's part, such as `gpt_neox.layers.0.attention.dense`.
pub(crate) fn module_name<'a>(names: &'a [String], layer: usize, last: &str) -> Option<&'a str> {
    let (layer, end) = (format!(".layers.{layer}."), format!(".{last}.weight"));
    let name = names.iter().find(|name| !is_adapter(name) && name.contains(&layer) && name.ends_with(&end))?;
    name.strip_suffix(".weight")
}
