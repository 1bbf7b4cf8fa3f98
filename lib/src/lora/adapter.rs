//! (model, settings) → a model that shares the weights, frozen, and learns a low-rank change of some matrices: LoRA.
//!
//! Hu et al. 2021; names, defaults and the first values are those of PEFT. The settings stand in [`crate::nn::lora`], the files in [`crate::lora::peft`].

use candle_core::{DType, Tensor, Var};

use crate::error::{Error, ErrorKind, Result};
use crate::models::causal::CausalLm;
use crate::nn::lora::{LoraConfig, is_adapter, tensor_name};
use crate::nn::parameter::Parameter;
use crate::nn::weights::Weights;
use crate::util::names::{beginning, quoted};
use crate::util::rng::Pcg64;

/// All matrices of the blocks.
const ALL: &str = "all-linear";

impl CausalLm {
    /// Names and shapes of the matrices of all blocks.
    fn matrices(&self) -> Vec<(String, [usize; 2])> {
        let shapes = self.config().parameter_shapes().into_iter();
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
        let given = if targets.is_empty() { "nothing".to_string() } else { beginning(quoted(&unknown)) };
        Err(Error::new(ErrorKind::Model, format!("target_modules names {given}; this model has {}", quoted(&valid)))
            .hint(format!("choose among them, or leave target_modules empty for {}", quoted(&self.usual_targets()))))
    }

    fn usual_targets(&self) -> Vec<String> {
        self.config().family().lora_targets().iter().map(|name| name.to_string()).collect()
    }

    /// The modules that the settings name, else the usual ones.
    fn chosen(&self, config: &LoraConfig) -> Vec<String> {
        if config.target_modules.is_empty() { self.usual_targets() } else { config.target_modules.clone() }
    }

    /// Numbers of an adapter with these settings, before there is memory for them.
    pub(crate) fn adapter_size(&self, config: &LoraConfig) -> Result<u64> {
        config.check()?;
        let targets = self.targets(&self.chosen(config))?;
        Ok(targets.iter().map(|(_, [outputs, inputs])| (config.r * (outputs + inputs)) as u64).sum())
    }

    /// A model that shares these weights, frozen, and has a fresh adapter, which is all that training changes. This model
    /// stays trainable; training it changes the weights below the adapter as well.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] for a model that has an adapter, settings that cannot work, and target modules that it does not have.
    pub fn with_lora(&self, config: &LoraConfig) -> Result<Self> {
        config.check()?;
        self.check_writes()?;
        if self.lora().is_some() {
            return Err(Error::new(ErrorKind::Model, "the model already has an adapter")
                .hint("call merge_adapter() first, or with_lora() on the model below"));
        }
        let mut config = config.clone();
        config.target_modules = self.chosen(&config);
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
            let b = Tensor::zeros((outputs, config.r), DType::F32, self.device())?;
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
    ///
    /// # Errors
    /// [`ErrorKind::Model`] for a model without an adapter.
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
