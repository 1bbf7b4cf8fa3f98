//! Tensors → tensors, with gradients: the activations and the dropout that models may call.
//!
//! On the CPU each is one fused operation over [`compute::cpu::activation`], on a GPU with [`crate::nn::kernel_op`] a kernel; on any
//! other device it is composed of candle's differentiable operations.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};

use crate::nn::kernel_op;
use crate::nn::parameter::{values, with_values};
use crate::nn::tape::Pass;
use compute::cpu::activation::{self, GELU_TANH, Sigmoidal};

struct Gelu;

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(activation::gelu(values(x, layout)?)), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = with_values(&grad.contiguous()?, |grad| with_values(x, |x| activation::gelu_grad(x, grad)))??;
        Ok(Some(Tensor::from_vec(grad, x.shape(), x.device())?))
    }
}

/// GELU with the exact normal distribution function (Hendrycks & Gimpel 2016), any shape.
///
/// # Errors
/// candle's, for other numbers than f32 or shapes that do not fit; in a recorded pass for an input that nothing noted has made.
pub fn gelu(pass: &Pass, x: &Tensor) -> Result<Tensor> {
    if pass.backend().is_fused() {
        return pass.apply1(x, Gelu);
    }
    match pass.backend().as_kernels() {
        Some(kernels) => kernel_op::gelu(kernels, x),
        None => x.gelu_erf(),
    }
}

struct GeluTanh;

impl CustomOp1 for GeluTanh {
    fn name(&self) -> &'static str {
        "gelu_tanh"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(activation::activate(values(x, layout)?, GELU_TANH)), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = with_values(&grad.contiguous()?, |grad| with_values(x, |x| activation::activate_grad(x, grad, GELU_TANH)))??;
        Ok(Some(Tensor::from_vec(grad, x.shape(), x.device())?))
    }
}

/// GELU with a tanh (`gelu_new`, `gelu_pytorch_tanh`), any shape.
///
/// # Errors
/// candle's, for other numbers than f32 or shapes that do not fit; in a recorded pass for an input that nothing noted has made.
pub fn gelu_tanh(pass: &Pass, x: &Tensor) -> Result<Tensor> {
    if pass.backend().is_fused() {
        return pass.apply1(x, GeluTanh);
    }
    match pass.backend().as_kernels() {
        Some(kernels) => kernel_op::gated(kernels, x, None, GELU_TANH),
        None => x.gelu(),
    }
}

struct Gated(Sigmoidal);

impl CustomOp2 for Gated {
    fn name(&self) -> &'static str {
        "gated"
    }

    fn cpu_fwd(&self, gate: &CpuStorage, lg: &Layout, up: &CpuStorage, lu: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(activation::gated(values(gate, lg)?, values(up, lu)?, self.0)), lg.shape().clone()))
    }

    fn bwd(&self, gate: &Tensor, up: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (by_gate, by_up) = with_values(&grad.contiguous()?, |grad| {
            with_values(gate, |gate| with_values(up, |up| activation::gated_grad(gate, up, grad, self.0)))
        })???;
        let tensor = |grad| Tensor::from_vec(grad, gate.shape(), gate.device());
        Ok((Some(tensor(by_gate)?), Some(tensor(by_up)?)))
    }
}

/// `activation(gate) · up` (Shazeer 2020), any shape: SwiGLU with [`activation::SILU`], GeGLU with [`GELU_TANH`].
///
/// # Errors
/// candle's, for other numbers than f32 or shapes that do not fit; in a recorded pass for an input that nothing noted has made.
pub fn gated(pass: &Pass, gate: &Tensor, up: &Tensor, form: Sigmoidal) -> Result<Tensor> {
    if pass.backend().is_fused() {
        return pass.apply2(gate, up, Gated(form));
    }
    if let Some(kernels) = pass.backend().as_kernels() {
        return kernel_op::gated(kernels, gate, Some(up), form);
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

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(activation::dropout(values(x, layout)?, self.rate, self.seed)), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = with_values(&grad.contiguous()?, |grad| activation::dropout(grad, self.rate, self.seed))?;
        Ok(Some(Tensor::from_vec(grad, x.shape(), x.device())?))
    }
}

/// Sets a part of the values to 0 and scales the others up (Srivastava et al. 2014). The seed decides which, so that a
/// second forward pass and a resumed run drop the same ones.
///
/// # Errors
/// candle's, for other numbers than f32 or shapes that do not fit; in a recorded pass for an input that nothing noted has made.
pub fn dropout(pass: &Pass, x: &Tensor, rate: f64, seed: u64) -> Result<Tensor> {
    if rate <= 0.0 {
        return Ok(x.clone());
    }
    if pass.backend().is_fused() {
        return pass.apply1(x, Dropout { rate: rate as f32, seed });
    }
    let mask = activation::dropout(&vec![1.0; x.elem_count()], rate as f32, seed);
    x.mul(&Tensor::from_vec(mask, x.shape(), x.device())?)
}
