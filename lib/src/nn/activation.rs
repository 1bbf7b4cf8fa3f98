//! Tensors → tensors, with gradients: the activations and the dropout that models may call.
//!
//! On the CPU each is one fused operation over [`compute::cpu::activation`], on a GPU with [`crate::nn::kernel_op`] a kernel; on any
//! other device it is composed of candle's differentiable operations.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Shape, Tensor};

use crate::nn::backend::{has_kernels, is_fused};
use crate::nn::kernel_op;
use crate::nn::parameter::{values, with_values};
use crate::nn::tape;
use compute::cpu::activation::{self, GELU_TANH, Sigmoidal};

type Answer<T> = candle_core::Result<T>;

struct Gelu;

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Answer<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(activation::gelu(values(x, layout)?)), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Answer<Option<Tensor>> {
        let slope = with_values(&grad.contiguous()?, |grad| with_values(x, |x| activation::gelu_grad(x, grad)))??;
        Ok(Some(Tensor::from_vec(slope, x.shape(), x.device())?))
    }
}

/// GELU with the exact normal distribution function (Hendrycks & Gimpel 2016), any shape.
pub fn gelu(x: &Tensor) -> Answer<Tensor> {
    match x.device() {
        device if is_fused(device) => tape::apply1(x, Gelu),
        device if has_kernels(device) => kernel_op::gelu(x),
        _ => x.gelu_erf(),
    }
}

struct GeluTanh;

impl CustomOp1 for GeluTanh {
    fn name(&self) -> &'static str {
        "gelu_tanh"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Answer<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(activation::activate(values(x, layout)?, GELU_TANH)), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Answer<Option<Tensor>> {
        let slope = with_values(&grad.contiguous()?, |grad| with_values(x, |x| activation::activate_grad(x, grad, GELU_TANH)))??;
        Ok(Some(Tensor::from_vec(slope, x.shape(), x.device())?))
    }
}

/// GELU with a tanh (`gelu_new`, `gelu_pytorch_tanh`), any shape.
pub fn gelu_tanh(x: &Tensor) -> Answer<Tensor> {
    match x.device() {
        device if is_fused(device) => tape::apply1(x, GeluTanh),
        device if has_kernels(device) => kernel_op::gated(x, None, GELU_TANH),
        _ => x.gelu(),
    }
}

struct Gated(Sigmoidal);

impl CustomOp2 for Gated {
    fn name(&self) -> &'static str {
        "gated"
    }

    fn cpu_fwd(&self, gate: &CpuStorage, lg: &Layout, up: &CpuStorage, lu: &Layout) -> Answer<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(activation::gated(values(gate, lg)?, values(up, lu)?, self.0)), lg.shape().clone()))
    }

    fn bwd(&self, gate: &Tensor, up: &Tensor, _: &Tensor, grad: &Tensor) -> Answer<(Option<Tensor>, Option<Tensor>)> {
        let (by_gate, by_up) = with_values(&grad.contiguous()?, |grad| {
            with_values(gate, |gate| with_values(up, |up| activation::gated_grad(gate, up, grad, self.0)))
        })???;
        let tensor = |slope| Tensor::from_vec(slope, gate.shape(), gate.device());
        Ok((Some(tensor(by_gate)?), Some(tensor(by_up)?)))
    }
}

/// `activation(gate) · up` (Shazeer 2020), any shape: SwiGLU with [`activation::SILU`], GeGLU with [`GELU_TANH`].
pub fn gated(gate: &Tensor, up: &Tensor, form: Sigmoidal) -> Answer<Tensor> {
    if is_fused(gate.device()) {
        return tape::apply2(gate, up, Gated(form));
    }
    if has_kernels(gate.device()) {
        return kernel_op::gated(gate, Some(up), form);
    }
    if form == GELU_TANH { gate.gelu()?.mul(up) } else { gate.silu()?.mul(up) }
}

struct Dropout {
    rate: f32,
    seed: u64,
}

impl CustomOp1 for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Answer<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(activation::dropout(values(x, layout)?, self.rate, self.seed)), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Answer<Option<Tensor>> {
        let slope = with_values(&grad.contiguous()?, |grad| activation::dropout(grad, self.rate, self.seed))?;
        Ok(Some(Tensor::from_vec(slope, x.shape(), x.device())?))
    }
}

/// Sets a part of the values to 0 and scales the others up (Srivastava et al. 2014). The seed decides which, so that a
/// second forward pass and a resumed run drop the same ones.
pub fn dropout(x: &Tensor, rate: f64, seed: u64) -> Answer<Tensor> {
    if rate <= 0.0 {
        return Ok(x.clone());
    }
    if is_fused(x.device()) {
        return tape::apply1(x, Dropout { rate: rate as f32, seed });
    }
    let mask = activation::dropout(&vec![1.0; x.elem_count()], rate as f32, seed);
    x.mul(&Tensor::from_vec(mask, x.shape(), x.device())?)
}
