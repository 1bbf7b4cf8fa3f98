//! Rows and the lengths that a changed weight is to have → rows as that weight gives them: DoRA (Liu et al. 2024), with gradients.
//!
//! As in PEFT the present lengths count as constants in the gradient (section 4.3 of the paper).

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use crate::nn::lora::Adapter;
use crate::nn::parameter::{Parameter, values, with_values};
use crate::nn::tape::Pass;
use compute::cpu::gemm::{Matrix, Threads, matmul};
use compute::cpu::rows;

/// The lengths `(O)` of the rows of `weight + scale · b · a`, `weight (O,I)`.
///
/// # Errors
/// candle's, where the shapes do not fit.
pub fn row_lengths(weight: &Tensor, adapter: &Adapter) -> Result<Tensor> {
    let (outputs, inputs) = weight.dims2()?;
    let (a, b) = (adapter.a.detached(), (adapter.b.detached() * adapter.scale)?);
    if !weight.device().is_cpu() {
        return (weight + b.matmul(&a)?)?.sqr()?.sum(1)?.sqrt();
    }
    let rank = a.dim(0)?;
    let mut changed = with_values(weight, <[f32]>::to_vec)?;
    with_values(&a, |a| with_values(&b, |b| matmul(&mut changed, Matrix::new(b, rank), Matrix::new(a, inputs), true, Threads::All)))??;
    let lengths: Vec<f32> = changed.par_chunks_exact(inputs).map(|row| rows::squares(row).sqrt() as f32).collect();
    Tensor::from_vec(lengths, outputs, weight.device())
}

/// `x (N,O)` of a weight with rows of these `lengths (O)` → what it gives with the adapter's, plus the bias.
///
/// # Errors
/// candle's, where the shapes do not fit.
pub fn rescaled(pass: &Pass, x: &Tensor, magnitude: &Parameter, lengths: &Tensor, bias: Option<&Parameter>) -> Result<Tensor> {
    // A row of zeros has no direction, whatever its length is to be.
    let inverse = lengths.maximum(f64::from(f32::MIN_POSITIVE))?.recip()?;
    if pass.backend().is_fused() {
        let inverse = Arc::new(inverse.to_vec1()?);
        return pass.apply1(x, Rescale { magnitude: magnitude.clone(), inverse, bias: bias.cloned() });
    }
    let y = x.broadcast_mul(&(magnitude.as_tensor() * inverse)?)?;
    bias.map_or(Ok(y.clone()), |bias| y.broadcast_add(bias))
}

struct Rescale {
    /// `(O)`.
    magnitude: Parameter,
    /// `(O)`.
    inverse: Arc<Vec<f32>>,
    /// `(O)`.
    bias: Option<Parameter>,
}

impl Rescale {
    fn factors(&self) -> Result<Vec<f32>> {
        with_values(&self.magnitude, |magnitude| magnitude.iter().zip(&*self.inverse).map(|(length, inverse)| length * inverse).collect())
    }
}

impl CustomOp1 for Rescale {
    fn name(&self) -> &'static str {
        "dora"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, factors) = (values(x, layout)?, self.factors()?);
        let mut y: Vec<f32> = match &self.bias {
            Some(bias) => with_values(bias, |bias| bias.repeat(x.len() / factors.len()))?,
            None => vec![0.0; x.len()],
        };
        let width = factors.len();
        y.par_chunks_exact_mut(width).zip(x.par_chunks_exact(width)).for_each(|(y, x)| {
            y.iter_mut().zip(x).zip(&factors).for_each(|((y, x), factor)| *y += x * factor);
        });
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (grad, factors) = (grad.contiguous()?, self.factors()?);
        let width = factors.len();
        let by_x: Vec<f32> = with_values(&grad, |grad| {
            with_values(x, |x| {
                self.magnitude.accumulate(|sum, add| {
                    let products: Vec<f32> = x.iter().zip(grad).map(|(x, grad)| x * grad).collect();
                    let own = rows::column_sum(&products, width);
                    let own = own.iter().zip(&*self.inverse).map(|(own, inverse)| own * inverse);
                    sum.iter_mut().zip(own).for_each(|(sum, own)| *sum = if add { *sum + own } else { own });
                });
            })?;
            if let Some(bias) = &self.bias {
                bias.accumulate_columns(grad);
            }
            Result::Ok(grad.chunks_exact(width).flat_map(|grad| grad.iter().zip(&factors).map(|(grad, factor)| grad * factor)).collect())
        })??;
        Ok(Some(Tensor::from_vec(by_x, grad.shape(), grad.device())?))
    }
}
