//! Rows → rows of equal size: layer norm (Ba et al. 2016) and RMS norm (Zhang & Sennrich 2019), with gradients.
//!
//! candle's own `LayerNorm` and `RmsNorm` return no gradient and no error (candle issues 2168 and 3011).

use candle_core::{CpuStorage, CustomOp1, D, Layout, Result, Shape, Tensor};

use crate::nn::kernel_op;
use crate::nn::parameter::{Parameter, values, with_values};
use crate::nn::tape::Pass;
use compute::cpu::rows;

/// A layer norm, or without a bias an RMS norm, over the last axis of `(N,C)`.
#[derive(Debug, Clone)]
pub struct Norm {
    /// `(C)`.
    pub weight: Parameter,
    /// `(C)`; `None` makes it an RMS norm.
    pub bias: Option<Parameter>,
    /// Added to the variance.
    pub epsilon: f64,
    /// Added to the weight: 1 in Gemma, whose weights are stored as distances from 1.
    pub offset: f32,
}

impl Norm {
    /// The layer norm whose parameters are `name.weight` and `name.bias`.
    pub fn layer(find: impl Fn(&str) -> Parameter, name: &str, epsilon: f64) -> Self {
        Self { weight: find(&format!("{name}.weight")), bias: Some(find(&format!("{name}.bias"))), epsilon, offset: 0.0 }
    }

    /// The normalised rows, with gradients.
    ///
    /// # Errors
    /// candle's, where the shapes do not fit.
    pub fn forward(&self, pass: &Pass, x: &Tensor) -> Result<Tensor> {
        if pass.backend().is_fused() {
            return pass.apply1(x, self.clone());
        }
        if let Some(kernels) = pass.backend().as_kernels() {
            let bias = self.bias.as_ref().map(|bias| bias.as_tensor());
            return kernel_op::norm(kernels, x, &self.weight, bias, self.epsilon as f32, self.offset);
        }
        let x = match &self.bias {
            Some(_) => x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?,
            None => x.clone(),
        };
        let variance = x.sqr()?.mean_keepdim(D::Minus1)?;
        let weight = (self.weight.as_tensor() + f64::from(self.offset))?;
        let y = x.broadcast_div(&(variance + self.epsilon)?.sqrt()?)?.broadcast_mul(&weight)?;
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}

impl Norm {
    /// Lets `read` see what the rows are multiplied by.
    fn with_factors<T>(&self, read: impl FnOnce(&[f32]) -> T) -> Result<T> {
        with_values(&self.weight, |weight| match self.offset {
            0.0 => read(weight),
            offset => read(&weight.iter().map(|weight| weight + offset).collect::<Vec<f32>>()),
        })
    }
}

impl CustomOp1 for Norm {
    fn name(&self) -> &'static str {
        "norm"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, epsilon) = (values(x, layout)?, self.epsilon as f32);
        let y = self.with_factors(|weight| match &self.bias {
            Some(bias) => with_values(bias, |bias| rows::layer_norm(x, weight, bias, epsilon)),
            None => Ok(rows::rms_norm(x, weight, epsilon)),
        })??;
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (grad, width, epsilon) = (grad.contiguous()?, self.weight.elem_count(), self.epsilon as f32);
        let grad = with_values(&grad, |grad| {
            with_values(x, |x| {
                let affine = match self.bias {
                    Some(_) => rows::layer_norm_grad_affine(x, grad, width, epsilon),
                    None => rows::rms_norm_grad_weight(x, grad, width, epsilon),
                };
                for (parameter, own) in [Some(&self.weight), self.bias.as_ref()].into_iter().flatten().zip(affine.chunks_exact(width)) {
                    parameter
                        .accumulate(|sum, add| sum.iter_mut().zip(own).for_each(|(sum, own)| *sum = if add { *sum + own } else { *own }));
                }
                self.with_factors(|weight| match self.bias {
                    Some(_) => rows::layer_norm_grad_input(x, weight, grad, epsilon),
                    None => rows::rms_norm_grad_input(x, weight, grad, epsilon),
                })
            })
        })???;
        Ok(Some(Tensor::from_vec(grad, x.shape(), x.device())?))
    }
}
