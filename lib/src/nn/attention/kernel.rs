//! The two parts of attention that have kernels of ours on a GPU: heads turned by their positions, and causal softmax.

use candle_core::{DType, Result, Tensor};

use crate::nn::attention::shape::{AttentionShape, Columns};
use crate::nn::backend::Kernels;
use crate::nn::kernel_op::KernelCall;
use compute::cpu::attention::Scores;
use compute::cuda::operation::{Heads, Softmax};

/// Rows of `qkv (T, (H+2G)·D)` of one sequence → queries `(H,T,D)`, keys and values `(G,T,D)`, turned by their positions.
///
/// # Errors
/// candle's, where the shapes do not fit.
pub fn heads(kernels: Kernels, rows: &Tensor, shape: &AttentionShape, offset: usize) -> Result<(Tensor, Tensor, Tensor)> {
    let (heads, kv_heads, half, time) = (shape.heads, shape.kv_heads, shape.rotary.half(), rows.dim(0)?);
    let is_interleaved = shape.columns == Columns::Interleaved;
    let call = Heads { rows: time, heads, kv_heads, size: shape.head_size, half, is_interleaved };
    let angles = shape.rotary.angles(offset + time);
    let (cos, sin) = angles.rows(offset, time);
    let table = |values: &[f32]| match half {
        0 => Tensor::zeros(1, DType::F32, rows.device()),
        _ => Tensor::from_slice(values, (time, half), rows.device()),
    };
    let all = call.split().with_grads(kernels, rows, &table(cos)?, &table(sin)?, move |[_, cos, sin], _, grad| {
        Ok([Some(call.grad().run(kernels, grad, cos, sin)?), None, None])
    })?;
    Ok((all.narrow(0, 0, heads)?, all.narrow(0, heads, kv_heads)?, all.narrow(0, heads + kv_heads, kv_heads)?))
}

/// Products of queries from position `offset` on with keys, `(H,T,S)` → probabilities.
///
/// # Errors
/// candle's, where the shapes do not fit.
pub fn softmax(kernels: Kernels, products: &Tensor, scores: Scores, offset: usize) -> Result<Tensor> {
    let (heads, queries, _) = products.dims3()?;
    let call = Softmax { heads, queries, offset, scores };
    call.rows().with_grads(kernels, products, products, products, move |[products, ..], probabilities, grad| {
        Ok([Some(call.grad().run(kernels, products, probabilities, grad)?), None, None])
    })
}
