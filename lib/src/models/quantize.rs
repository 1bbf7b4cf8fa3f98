//! A model → the same model with its matrices in fewer bits: less memory and faster answers, a little less exact.

use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Var};

use crate::error::{Error, ErrorKind, Result};
use crate::models::causal::CausalLm;
use crate::nn::packed::dequantize;
use crate::nn::parameter::Parameter;
use crate::nn::weights::Weights;

/// The packed format of a number format; none for f32, which is not packed.
pub(crate) fn packed_format(dtype: DType) -> Result<Option<GgmlDType>> {
    match dtype {
        DType::F32 => Ok(None),
        DType::F16 => Ok(Some(GgmlDType::F16)),
        DType::BF16 => Ok(Some(GgmlDType::BF16)),
        other => Err(Error::new(ErrorKind::Model, format!("a model cannot have numbers of type {other:?}"))
            .hint("choose DType::F32, DType::F16 or DType::BF16; for fewer bits `quantized(GgmlDType::Q8_0)`")),
    }
}

impl CausalLm {
    /// The model with its matrices in 16 bits (`DType::F16` or `DType::BF16`), or a model of its own in 32 (`DType::F32`),
    /// which can be trained again. In 16 bits it answers faster, since reading the weights is the work; only an adapter on it
    /// can be trained. All other weights are shared with this model, and frozen.
    ///
    /// With F16 only the weights are rounded. With BF16 the inputs of each product are, too, as PyTorch rounds them; sums,
    /// norms and attention stay in f32. It is the fastest format where the machine multiplies bf16 (AVX512-BF16).
    ///
    /// # Errors
    /// For other types, and for a model with an adapter.
    pub fn to_dtype(&self, dtype: DType) -> Result<Self> {
        if let Some(format) = packed_format(dtype)? {
            return self.quantized(format);
        }
        self.check_plain()?;
        let mut copies = Vec::new();
        for (name, parameter) in self.full_weights()? {
            let copy = parameter.deep_clone()?;
            copy.set_frozen(false);
            copies.push((name, copy));
        }
        Ok(self.assembled(copies, Vec::new(), None))
    }

    /// A model whose matrices are packed into numbers of fewer bits, such as `GgmlDType::Q8_0` or `Q4_0`: it takes less memory,
    /// answers faster and a little less exactly, and only an adapter on it can be trained (Dettmers et al. 2023). With a
    /// format of 4 bits, embedding and output projection get 8. All other weights are shared with this model, and frozen.
    ///
    /// # Errors
    /// When a row of a matrix cannot be cut into the format's blocks, and for a model with an adapter.
    pub fn quantized(&self, dtype: GgmlDType) -> Result<Self> {
        self.check_plain()?;
        let (mut weights, mut packed) = (Vec::new(), Vec::new());
        for (name, parameter) in self.full_weights()? {
            if parameter.rank() != 2 {
                weights.push((name.clone(), parameter.frozen_view()));
                continue;
            }
            let few = dtype.type_size() < dtype.block_size();
            let dtype = if few && !name.contains(".layers.") { GgmlDType::Q8_0 } else { dtype };
            let columns = parameter.dims()[1];
            if !columns.is_multiple_of(dtype.block_size()) {
                let message = format!("{name}: rows of {columns} numbers; {dtype:?} packs blocks of {}", dtype.block_size());
                return Err(Error::new(ErrorKind::Model, message)
                    .hint("choose `GgmlDType::Q8_0` or `GgmlDType::Q4_0`, whose blocks have 32 numbers, or `to_dtype(DType::BF16)`"));
            }
            packed.push((name, Arc::new(QTensor::quantize(&parameter.detached(), dtype)?)));
        }
        Ok(self.assembled(weights, packed, None))
    }

    fn check_plain(&self) -> Result<()> {
        match self.lora() {
            None => self.check_writes(),
            Some(_) => Err(Error::new(ErrorKind::Model, "the model has an adapter; quantized() and to_dtype() take a model without one")
                .hint("call them first and with_lora() on their result, or merge_adapter() before quantized()")),
        }
    }

    /// All weights without an adapter as f32, in the order of transformers; packed ones are unpacked, the others shared.
    pub(crate) fn full_weights(&self) -> Result<Weights> {
        self.parameter_shapes().into_iter().map(|(name, _)| Ok((name.clone(), self.full_weight(&name)?))).collect()
    }

    /// One of them.
    pub(crate) fn full_weight(&self, name: &str) -> Result<Parameter> {
        if let Some((_, parameter)) = self.weights().iter().find(|(own, _)| own == name) {
            return Ok(parameter.clone());
        }
        match self.packed().iter().find(|(own, _)| own == name) {
            Some((_, packed)) => Ok(Parameter::new(Var::from_vec(dequantize(packed)?, packed.shape(), self.device())?)),
            None => Err(Error::new(ErrorKind::Model, format!("the model has no `{name}`"))),
        }
    }
}
