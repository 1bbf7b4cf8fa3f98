//! Tensors on a GPU → tensors there, with gradients: the kernels of `kernels.cu`, in place of what candle composes of many
//! operations. Tests run them on the CPU.

use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor};

use crate::nn::backend::Kernels;
use crate::nn::parameter::values;
use compute::cpu::activation::Sigmoidal;
use compute::cpu::loss::Targets;
use compute::cuda::call::Call;

type Answer<T> = candle_core::Result<T>;

/// A call whose inputs and output are tensors.
pub(crate) trait KernelCall: Sized {
    /// The output, without a gradient.
    fn run(self, kernels: Kernels, a: &Tensor, b: &Tensor, c: &Tensor) -> Answer<Tensor>;

    /// The output, with the gradients that `slopes` makes of the inputs, the output and the gradient by the output.
    fn with_slopes<F>(self, kernels: Kernels, a: &Tensor, b: &Tensor, c: &Tensor, slopes: F) -> Answer<Tensor>
    where
        F: Fn([&Tensor; 3], &Tensor, &Tensor) -> Answer<[Option<Tensor>; 3]> + Send + Sync + 'static;
}

impl KernelCall for Call {
    fn run(self, kernels: Kernels, a: &Tensor, b: &Tensor, c: &Tensor) -> Answer<Tensor> {
        a.contiguous()?.apply_op3_no_bwd(&b.contiguous()?, &c.contiguous()?, &Operation { call: self, kernels, slopes: no_slopes })
    }

    fn with_slopes<F>(self, kernels: Kernels, a: &Tensor, b: &Tensor, c: &Tensor, slopes: F) -> Answer<Tensor>
    where
        F: Fn([&Tensor; 3], &Tensor, &Tensor) -> Answer<[Option<Tensor>; 3]> + Send + Sync + 'static,
    {
        a.contiguous()?.apply_op3(&b.contiguous()?, &c.contiguous()?, Operation { call: self, kernels, slopes })
    }
}

fn no_slopes(_: [&Tensor; 3], _: &Tensor, _: &Tensor) -> Answer<[Option<Tensor>; 3]> {
    Ok([None, None, None])
}

struct Operation<F> {
    call: Call,
    kernels: Kernels,
    slopes: F,
}

impl<F> CustomOp3 for Operation<F>
where
    F: Fn([&Tensor; 3], &Tensor, &Tensor) -> Answer<[Option<Tensor>; 3]> + Send + Sync,
{
    fn name(&self) -> &'static str {
        self.call.kernel
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        la: &Layout,
        b: &CpuStorage,
        lb: &Layout,
        c: &CpuStorage,
        lc: &Layout,
    ) -> Answer<(CpuStorage, Shape)> {
        let Some(runner) = self.kernels.runner() else { candle_core::bail!("the kernel {} is for a GPU", self.call.kernel) };
        let out = runner(&self.call, [values(a, la)?, values(b, lb)?, values(c, lc)?]);
        Ok((CpuStorage::F32(out), Shape::from(self.call.shape.clone())))
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
    ) -> Answer<(candle_core::CudaStorage, Shape)> {
        Ok((compute::cuda::launch::run(&self.call, [(a, la), (b, lb), (c, lc)])?, Shape::from(self.call.shape.clone())))
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        c: &Tensor,
        out: &Tensor,
        grad: &Tensor,
    ) -> Answer<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [a, b, c] = (self.slopes)([a, b, c], out, grad)?;
        Ok((a, b, c))
    }
}

/// Layer norm of `x (N,C)`, or RMS norm without a bias; `offset` is added to the weight.
pub fn norm(kernels: Kernels, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, epsilon: f32, offset: f32) -> Answer<Tensor> {
    let size = x.dims2()?;
    let centred = usize::from(bias.is_some());
    let call = move |kernel, shape: Shape| Call::new(kernel, size, &[centred], &[epsilon, offset], shape.dims());
    call("norm_rows", x.shape().clone()).with_slopes(kernels, x, weight, bias.unwrap_or(weight), move |[x, weight, _], _, grad| {
        let by_x = call("norm_grad", x.shape().clone()).run(kernels, x, weight, grad)?;
        let moments = call("norm_moments", Shape::from((size.0, 2))).run(kernels, x, x, x)?;
        let affine = call("norm_affine", Shape::from((2, size.1))).over(size.1).run(kernels, x, &moments, grad)?;
        let by_bias = if centred == 1 { Some(affine.get(1)?) } else { None };
        Ok([Some(by_x), Some(affine.get(0)?), by_bias])
    })
}

/// GELU with the exact normal distribution function, any shape.
pub fn gelu(kernels: Kernels, x: &Tensor) -> Answer<Tensor> {
    let call = |kernel, x: &Tensor| Call::new(kernel, (x.elem_count(), 1), &[], &[], x.dims()).over(x.elem_count());
    call("gelu", x)
        .with_slopes(kernels, x, x, x, move |[x, ..], _, grad| Ok([Some(call("gelu_grad", x).run(kernels, x, grad, x)?), None, None]))
}

/// `activation(gate) · up`, or the activation alone, any shape.
pub fn gated(kernels: Kernels, gate: &Tensor, up: Option<&Tensor>, form: Sigmoidal) -> Answer<Tensor> {
    let (count, has_up, numbers) = (gate.elem_count(), usize::from(up.is_some()), form.factors());
    let call = move |kernel, shape: Shape| Call::new(kernel, (count, 1), &[has_up], &numbers, shape.dims()).over(count);
    call("gated", gate.shape().clone()).with_slopes(kernels, gate, up.unwrap_or(gate), gate, move |[gate, up, _], _, grad| {
        let slopes = call("gated_grad", Shape::from((2, count))).run(kernels, gate, up, grad)?;
        let part = |index: usize| slopes.get(index)?.reshape(gate.shape());
        Ok([Some(part(0)?), if has_up == 1 { Some(part(1)?) } else { None }, None])
    })
}

/// Each row's loss of logits `(N,V)`.
pub fn losses(kernels: Kernels, logits: &Tensor, targets: Targets) -> Answer<Tensor> {
    let size = logits.dims2()?;
    let smoothing = targets.smoothing;
    // An id is exact in f32: vocabularies are below 2²⁴.
    let ids: Vec<f32> = targets.ids.iter().map(|id| *id as f32).collect();
    let ids = Tensor::from_vec(ids, size.0, logits.device())?;
    let call = move |kernel, shape: Shape| Call::new(kernel, size, &[], &[smoothing], shape.dims());
    call("losses", Shape::from(size.0)).with_slopes(kernels, logits, &ids, &ids, move |[logits, ids, _], _, grad| {
        Ok([Some(call("losses_grad", logits.shape().clone()).run(kernels, logits, ids, grad)?), None, None])
    })
}
