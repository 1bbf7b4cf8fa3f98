//! Tensors on a GPU → tensors there, with gradients: the kernels of `compute::cuda`, in place of what candle composes of many
//! operations. Tests run them on the CPU.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use crate::nn::backend::Kernels;
use crate::nn::parameter::values;
use compute::cpu::activation::Sigmoidal;
use compute::cpu::loss::Targets;
use compute::cuda::call::Call;
use compute::cuda::operation::{Gated, Gelu, Losses, Norm};

/// A call whose inputs and output are tensors.
pub(crate) trait KernelCall: Sized {
    /// The output, without a gradient.
    fn run(self, kernels: Kernels, a: &Tensor, b: &Tensor, c: &Tensor) -> Result<Tensor>;

    /// The output, with the gradients that `grads` makes of the inputs, the output and the gradient by the output.
    fn with_grads<F>(self, kernels: Kernels, a: &Tensor, b: &Tensor, c: &Tensor, grads: F) -> Result<Tensor>
    where
        F: Fn([&Tensor; 3], &Tensor, &Tensor) -> Result<[Option<Tensor>; 3]> + Send + Sync + 'static;
}

impl KernelCall for Call {
    fn run(self, kernels: Kernels, a: &Tensor, b: &Tensor, c: &Tensor) -> Result<Tensor> {
        a.contiguous()?.apply_op3_no_bwd(&b.contiguous()?, &c.contiguous()?, &Operation { call: self, kernels, grads: no_grads })
    }

    fn with_grads<F>(self, kernels: Kernels, a: &Tensor, b: &Tensor, c: &Tensor, grads: F) -> Result<Tensor>
    where
        F: Fn([&Tensor; 3], &Tensor, &Tensor) -> Result<[Option<Tensor>; 3]> + Send + Sync + 'static,
    {
        a.contiguous()?.apply_op3(&b.contiguous()?, &c.contiguous()?, Operation { call: self, kernels, grads })
    }
}

fn no_grads(_: [&Tensor; 3], _: &Tensor, _: &Tensor) -> Result<[Option<Tensor>; 3]> {
    Ok([None, None, None])
}

struct Operation<F> {
    call: Call,
    kernels: Kernels,
    grads: F,
}

impl<F> CustomOp3 for Operation<F>
where
    F: Fn([&Tensor; 3], &Tensor, &Tensor) -> Result<[Option<Tensor>; 3]> + Send + Sync,
{
    fn name(&self) -> &'static str {
        self.call.kernel()
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        la: &Layout,
        b: &CpuStorage,
        lb: &Layout,
        c: &CpuStorage,
        lc: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let Some(runner) = self.kernels.runner() else { candle_core::bail!("the kernel {} is for a GPU", self.call.kernel()) };
        let out = self.call.emulate(runner, [values(a, la)?, values(b, lb)?, values(c, lc)?]).map_err(candle_core::Error::wrap)?;
        Ok((CpuStorage::F32(out), Shape::from(self.call.shape())))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        a: &candle_core::CudaStorage,
        la: &Layout,
        b: &candle_core::CudaStorage,
        lb: &Layout,
        c: &candle_core::CudaStorage,
        lc: &Layout,
    ) -> Result<(candle_core::CudaStorage, Shape)> {
        Ok((compute::cuda::launch::run(&self.call, [(a, la), (b, lb), (c, lc)])?, Shape::from(self.call.shape())))
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        c: &Tensor,
        out: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [a, b, c] = (self.grads)([a, b, c], out, grad)?;
        Ok((a, b, c))
    }
}

/// Layer norm of `x (N,C)`, or RMS norm without a bias; `offset` is added to the weight.
///
/// # Errors
/// When a shape does not fit, or the device fails.
pub fn norm(kernels: Kernels, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, epsilon: f32, offset: f32) -> Result<Tensor> {
    let (rows, width) = x.dims2()?;
    let norm = Norm { rows, width, is_centred: bias.is_some(), epsilon, offset };
    norm.rows().with_grads(kernels, x, weight, bias.unwrap_or(weight), move |[x, weight, _], _, grad| {
        let by_x = norm.grad().run(kernels, x, weight, grad)?;
        let mean_var = norm.mean_var().run(kernels, x, x, x)?;
        let affine = norm.affine().run(kernels, x, &mean_var, grad)?;
        let by_bias = if norm.is_centred { Some(affine.get(1)?) } else { None };
        Ok([Some(by_x), Some(affine.get(0)?), by_bias])
    })
}

/// GELU with the exact normal distribution function, any shape.
///
/// # Errors
/// When the device fails.
pub fn gelu(kernels: Kernels, x: &Tensor) -> Result<Tensor> {
    let call = Gelu { shape: x.dims() };
    call.values().with_grads(kernels, x, x, x, move |[x, ..], _, grad| {
        let call = Gelu { shape: x.dims() };
        Ok([Some(call.grad().run(kernels, x, grad, x)?), None, None])
    })
}

/// `activation(gate) · up`, or the activation alone, any shape.
///
/// # Errors
/// When the shapes differ, or the device fails.
pub fn gated(kernels: Kernels, gate: &Tensor, up: Option<&Tensor>, form: Sigmoidal) -> Result<Tensor> {
    let has_up = up.is_some();
    let call = Gated { shape: gate.dims(), has_up, form };
    call.values().with_grads(kernels, gate, up.unwrap_or(gate), gate, move |[gate, up, _], _, grad| {
        let grads = Gated { shape: gate.dims(), has_up, form }.grad().run(kernels, gate, up, grad)?;
        let part = |index: usize| grads.get(index)?.reshape(gate.shape());
        Ok([Some(part(0)?), if has_up { Some(part(1)?) } else { None }, None])
    })
}

/// Each row's loss of logits `(N,V)`; 0 where the weight is 0.
///
/// # Errors
/// When a row that counts has an id that has no logit.
pub fn losses(kernels: Kernels, logits: &Tensor, targets: Targets) -> Result<Tensor> {
    let (rows, width) = logits.dims2()?;
    let call = Losses { rows, width, smoothing: targets.smoothing };
    // An id is told as an f32, which is exact up to the width that `Losses` allows; one below 0 leaves its row out.
    let ids = targets.labels.iter().zip(targets.weights).enumerate().map(|(row, (id, weight))| match *id {
        _ if *weight == 0.0 => Ok(-1.0),
        id if (id as usize) < width => Ok(id as f32),
        id => candle_core::bail!(
            "row {row} has the label {id}, of a vocabulary of {width}: allowed are 0 to {}, and a weight of 0",
            width - 1
        ),
    });
    let ids = Tensor::from_vec(ids.collect::<Result<Vec<f32>>>()?, targets.labels.len(), logits.device())?;
    call.rows().with_grads(kernels, logits, &ids, &ids, move |[logits, ids, _], _, grad| {
        Ok([Some(call.grad().run(kernels, logits, ids, grad)?), None, None])
    })
}
