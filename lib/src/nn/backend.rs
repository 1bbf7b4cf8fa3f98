//! How the operations of a model compute: in fused operations on the CPU, in kernels of ours on a GPU, elsewhere composed of
//! candle's own; and the number format of products. A value that is passed, from the model down to each layer.

use candle_core::{DType, Result, Tensor};

use compute::cuda::call::Runner;

/// How operations compute. A model on the CPU has [`Backend::fused`]; another device what
/// [`crate::nn::check::backend_of`] finds.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Backend {
    operations: Operations,
    products: DType,
}

#[derive(Debug, Clone, Copy)]
enum Operations {
    Fused,
    Composed,
    Kernels(Kernels),
}

/// That the kernels of `kernels.cu` compute, and where: on a GPU, or on the CPU by a runner in place of one.
#[derive(Debug, Clone, Copy)]
pub struct Kernels(Option<Runner>);

impl Kernels {
    /// What computes kernels of tensors on the CPU; none on a GPU.
    pub fn runner(&self) -> Option<Runner> {
        self.0
    }
}

impl Backend {
    /// One operation of ours for each, in f32; on the CPU alone.
    pub fn fused() -> Self {
        Self { operations: Operations::Fused, products: DType::F32 }
    }

    /// candle's own differentiable operations, on any device. On the CPU it is what other devices compute, to compare with the
    /// fused operations or to look for a fault; it takes several times as long.
    pub fn composed() -> Self {
        Self { operations: Operations::Composed, products: DType::F32 }
    }

    /// The kernels of `kernels.cu`, and candle's operations for the rest; on a GPU alone.
    /// [`crate::nn::check::backend_of`] says whether they are right there.
    pub fn kernels() -> Self {
        Self { operations: Operations::Kernels(Kernels(None)), products: DType::F32 }
    }

    /// [`Backend::kernels`] with tensors on the CPU and a runner in place of the GPU: to test the kernels without one.
    pub fn emulated(runner: Runner) -> Self {
        Self { operations: Operations::Kernels(Kernels(Some(runner))), products: DType::F32 }
    }

    /// The same with the products of composed operations in `dtype`, F32, BF16 or F16; weights, norms, probabilities, losses and
    /// gradients of weights stay in f32: `torch.autocast`. Fused operations compute in f32 all the same.
    pub fn autocast(self, dtype: DType) -> Self {
        Self { products: dtype, ..self }
    }

    /// Whether the fused operations compute.
    pub fn is_fused(&self) -> bool {
        matches!(self.operations, Operations::Fused)
    }

    /// The kernels, where they compute.
    pub fn as_kernels(&self) -> Option<Kernels> {
        match self.operations {
            Operations::Kernels(kernels) => Some(kernels),
            _ => None,
        }
    }

    /// `a · b` of the last two axes in the format of [`Backend::autocast`], given back in f32.
    ///
    /// # Errors
    /// candle's, where the shapes do not fit.
    pub fn product(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        match self.products {
            DType::F32 => a.matmul(b),
            dtype => a.to_dtype(dtype)?.matmul(&b.to_dtype(dtype)?)?.to_dtype(DType::F32),
        }
    }
}
