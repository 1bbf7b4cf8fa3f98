//! The two parts of attention that have kernels of ours on a GPU: heads turned by their positions, and causal softmax.

use candle_core::{DType, Result, Shape, Tensor};

use crate::nn::attention::shape::{AttentionShape, Columns};
use crate::nn::backend::Kernels;
use crate::nn::kernel_op::KernelCall;
use compute::cpu::attention::Scores;
use compute::cuda::call::Call;

/// Rows of `qkv (T, (H+2G)·D)` of one sequence → queries `(H,T,D)`, keys and values `(G,T,D)`, turned by their positions.
///
/// # Errors
/// candle's, where the shapes do not fit.
pub fn heads(kernels: Kernels, rows: &Tensor, shape: &AttentionShape, offset: usize) -> Result<(Tensor, Tensor, Tensor)> {
    let (heads, groups, size, half) = (shape.heads, shape.groups, shape.head_size, shape.rotary.half());
    let (time, width) = rows.dims2()?;
    let interleaved = usize::from(shape.columns == Columns::Interleaved);
    let call =
        move |kernel, shape: Shape| Call::new(kernel, (time, width), &[heads, groups, size, half, interleaved, 0], &[], shape.dims());
    let angles = shape.rotary.angles(offset + time);
    let (cos, sin) = angles.rows(offset, time);
    let table = |values: &[f32]| match half {
        0 => Tensor::zeros(1, DType::F32, rows.device()),
        _ => Tensor::from_slice(values, (time, half), rows.device()),
    };
    let all = call("heads", Shape::from((heads + 2 * groups, time, size))).with_slopes(
        kernels,
        rows,
        &table(cos)?,
        &table(sin)?,
        move |[rows, cos, sin], _, grad| Ok([Some(call("heads_grad", rows.shape().clone()).run(kernels, grad, cos, sin)?), None, None]),
    )?;
    Ok((all.narrow(0, 0, heads)?, all.narrow(0, heads, groups)?, all.narrow(0, heads + groups, groups)?))
}

/// Products of queries from position `offset` on with keys, `(H,T,S)` → probabilities.
///
/// # Errors
/// candle's, where the shapes do not fit.
pub fn softmax(kernels: Kernels, products: &Tensor, scores: Scores, offset: usize) -> Result<Tensor> {
    let (heads, time, seen) = products.dims3()?;
    let more = [time, offset, scores.window.unwrap_or(0)];
    let call = move |kernel, shape: Shape| {
        Call::new(kernel, (heads * time, seen), &more, &[scores.scale, scores.cap.unwrap_or(0.0)], shape.dims())
    };
    call("softmax", products.shape().clone()).with_slopes(
        kernels,
        products,
        products,
        products,
        move |[products, ..], probabilities, grad| {
            Ok([Some(call("softmax_grad", products.shape().clone()).run(kernels, products, probabilities, grad)?), None, None])
        },
    )
}
