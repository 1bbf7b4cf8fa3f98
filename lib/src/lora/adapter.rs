//! (model, settings) → a model that shares the weights, frozen, and learns a low-rank change of some matrices: LoRA.
//!
//! Hu et al. 2021; names, defaults and the first values are those of PEFT. The settings stand in [`crate::nn::lora`], which matrices
//! they mean in `targets`, the files in [`crate::lora::peft`].

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::{DType, Tensor, Var};

use crate::error::{Error, ErrorKind, Result};
use crate::lora::targets::Target;
use crate::models::causal::CausalLm;
use crate::nn::dora::row_lengths;
use crate::nn::lora::{Adapter, Applied, LoraConfig, LoraInit, copy_name, is_adapter, magnitude_name, tensor_name};
use crate::nn::parameter::Parameter;
use crate::nn::weights::Weights;
use crate::util::rng::Pcg64;

impl CausalLm {
    /// Numbers of an adapter with these settings, before there is memory for them.
    pub(crate) fn adapter_size(&self, config: &LoraConfig) -> Result<u64> {
        let config = self.completed(config);
        let targets = self.targets(&config)?;
        let change =
            |Target { r, shape: [outputs, inputs], .. }: &Target| r * (outputs + inputs) + if config.use_dora { *outputs } else { 0 };
        let copied = self.copied(&config, &targets)?;
        let shapes: HashMap<String, Vec<usize>> = self.config().parameter_shapes().into_iter().collect();
        let copies = copied.iter().filter_map(|(name, _)| Some(shapes.get(name)?.iter().product::<usize>()));
        Ok(targets.iter().map(change).chain(copies).map(|count| count as u64).sum())
    }

    /// A model that shares these weights, frozen, and has a fresh adapter, which is all that training changes. This model
    /// stays trainable; training it changes the weights below the adapter as well.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] for a model that has an adapter, settings that cannot work, modules that the model does not have, and a rank
    /// above the size of a matrix.
    pub fn with_lora(&self, config: &LoraConfig) -> Result<Self> {
        self.check_writes()?;
        let config = self.completed(config);
        let targets = self.targets(&config)?;
        self.check_fresh(&config, &targets)?;
        self.adapted(config, &targets)
    }

    /// [`CausalLm::with_lora`] of completed settings and their matrices.
    pub(crate) fn adapted(&self, config: LoraConfig, targets: &[Target]) -> Result<Self> {
        if self.lora().is_some() {
            return Err(Error::new(ErrorKind::Model, "the model already has an adapter")
                .hint("call merge_adapter() first, with_lora() on the model below, or keep several in `Adapters`"));
        }
        let copied = self.copied(&config, targets)?;
        let mut weights: Weights = self.weights().iter().map(|(name, parameter)| (name.clone(), parameter.frozen_view())).collect();
        let (mut random, device) = (Pcg64::new(config.seed), self.device());
        for Target { module, shape: [outputs, inputs], r, scale } in targets {
            let mut draw = |count: usize, bound: Option<usize>| -> Vec<f32> {
                let number = |random: &mut Pcg64| match bound {
                    // Kaiming-uniform with a = √5: between ∓1 / √inputs.
                    Some(inputs) => (2.0 * random.next_f64() - 1.0) * (1.0 / (inputs as f64).sqrt()),
                    None => random.next_normal() / *r as f64,
                };
                (0..count).map(|_| number(&mut random) as f32).collect()
            };
            let a = draw(r * inputs, (config.init_lora_weights != LoraInit::Gaussian).then_some(*inputs));
            let b = match config.init_lora_weights {
                LoraInit::Random => Tensor::from_vec(draw(outputs * r, Some(*r)), (*outputs, *r), device)?,
                _ => Tensor::zeros((*outputs, *r), DType::F32, device)?,
            };
            let [a, b] = [Tensor::from_vec(a, (*r, *inputs), device)?, b].map(|tensor| Var::from_tensor(&tensor).map(Parameter::new));
            let (a, b) = (a?, b?);
            weights.extend([(tensor_name(module, "A"), a.clone()), (tensor_name(module, "B"), b.clone())]);
            if config.use_dora {
                let weight = self.full_weight(&format!("{module}.weight"))?;
                let adapter = Adapter { a, b, scale: *scale, magnitude: None, dropout: 0.0, place: 0 };
                let lengths = row_lengths(&weight.detached(), &adapter)?;
                weights.push((magnitude_name(module), Parameter::new(Var::from_tensor(&lengths)?)));
            }
        }
        for (name, copy) in copied {
            let own = self.full_weight(&name)?.deep_clone()?;
            own.set_frozen(false);
            weights.push((copy, own));
        }
        let scales = targets.iter().map(|target| (target.module.clone(), target.scale)).collect();
        Ok(self.assembled(weights, self.packed().clone(), Some(Arc::new(Applied { config, scales }))))
    }

    /// The model below the adapter, its weights shared and frozen.
    pub fn without_adapter(&self) -> Self {
        let weights = self.weights().iter().filter(|(name, _)| !is_adapter(name));
        let frozen = weights.map(|(name, parameter)| (name.clone(), parameter.frozen_view())).collect();
        self.assembled(frozen, self.packed().clone(), None)
    }

    /// A model of its own, without an adapter, that computes the same: `W + scale · B · A` in place of each changed matrix, with DoRA in
    /// the lengths that were learnt, and the trained copies in place of what they were copied from. Packed matrices are unpacked.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] for a model without an adapter.
    pub fn merge_adapter(&self) -> Result<Self> {
        let Some(lora) = self.applied() else {
            return Err(Error::new(ErrorKind::Model, "the model has no adapter to merge").hint("call `with_lora` or `load_adapter` first"));
        };
        let by_name: HashMap<&str, &Parameter> = self.weights().iter().map(|(name, parameter)| (name.as_str(), parameter)).collect();
        let find = |name: String| by_name.get(name.as_str()).map(|parameter| (*parameter).clone());
        let mut merged = Vec::new();
        for (name, parameter) in self.full_weights()? {
            let module = name.trim_end_matches(".weight");
            let copy = find(copy_name(&name, true)).or_else(|| find(copy_name(&name, false)));
            let copy = match (copy, find(tensor_name(module, "A")), find(tensor_name(module, "B"))) {
                (Some(copy), ..) => copy.deep_clone()?,
                (None, Some(a), Some(b)) => {
                    let scale = lora.scales.get(module).copied().unwrap_or_else(|| lora.config.scale());
                    let mut changed = (parameter.detached() + (b.detached().matmul(&a.detached())? * scale)?)?;
                    if let Some(magnitude) = find(magnitude_name(module)) {
                        let adapter = Adapter { a, b, scale, magnitude: None, dropout: 0.0, place: 0 };
                        let lengths = row_lengths(&parameter.detached(), &adapter)?.maximum(f64::from(f32::MIN_POSITIVE))?;
                        changed = changed.broadcast_mul(&(magnitude.detached() / lengths)?.unsqueeze(1)?)?;
                    }
                    Parameter::new(Var::from_tensor(&changed)?)
                }
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
