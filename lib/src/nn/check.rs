//! A GPU that this process has not used → whether our kernels compute there what candle's operations do. They were written
//! without a GPU at hand; where one differs, candle's operations do its work, and a line on stderr says so.

use std::sync::Arc;

use candle_core::{D, Device, Result, Tensor, Var};

use crate::nn::activation;
use crate::nn::attention::composed;
use crate::nn::attention::shape::{AttentionShape, Columns};
use crate::nn::backend::Backend;
use crate::nn::lm_head;
use crate::nn::norm::Norm;
use crate::nn::parameter::Parameter;
use crate::nn::rotary::Rotary;
use crate::nn::tape::Pass;
use crate::util::notice;
use compute::cpu::activation::{GELU_TANH, SILU};
use compute::cpu::attention::Scores;
use compute::cpu::loss::Targets;

/// What the two may differ by: f32, added up in another order.
const BOUND: f32 = 1e-3;

/// How a model computes on a device: fused on the CPU; on a GPU by our kernels, if they are right there, else by candle's
/// operations, as everywhere else.
pub fn backend_of(device: &Device) -> Backend {
    if device.is_cpu() {
        return Backend::fused();
    }
    if device.is_cuda() {
        match fault(Backend::kernels(), device) {
            None => return Backend::kernels(),
            Some(fault) => notice::warn(format_args!("the GPU kernels of this crate are not used, candle's operations compute: {fault}")),
        }
    }
    Backend::composed()
}

/// What is wrong with what a backend computes on a device; `None`: nothing.
pub fn fault(backend: Backend, device: &Device) -> Option<String> {
    match distance_from_composed(backend, device, &|pass, x| operations(pass, x)) {
        Ok(distance) if distance <= BOUND => None,
        Ok(distance) => Some(format!("their results are {distance:e} away from candle's")),
        Err(error) => Some(error.to_string()),
    }
}

/// Every kind of operation of a model on `x (6,48)`.
fn operations(pass: &Pass, x: &Tensor) -> Result<Vec<Tensor>> {
    let factors = |from: f32| -> Result<Parameter> {
        let values: Vec<f32> = (0..48).map(|i| from + i as f32 / 48.0).collect();
        Ok(Parameter::new(Var::from_vec(values, 48, x.device())?))
    };
    let layer = Norm { weight: factors(0.5)?, bias: Some(factors(-0.5)?), epsilon: 1e-5, offset: 0.0 };
    let rms = Norm { weight: factors(0.5)?, bias: None, epsilon: 1e-5, offset: 1.0 };
    let attention = |heads, kv_heads, columns, turned, scores| {
        let shape = AttentionShape {
            lengths: [2, 4].into(),
            heads,
            kv_heads,
            head_size: 8,
            columns,
            rotary: Arc::new(Rotary::new(turned, 1e4, None)),
            scores,
        };
        composed::attention(pass.backend(), x, &shape, &mut [])
    };
    let targets = Targets { labels: &[1, 2, 3, 5, 8, 13], weights: &[1.0; 6], smoothing: 0.1 };
    Ok(vec![
        layer.forward(pass, x)?,
        rms.forward(pass, x)?,
        activation::gelu(pass, x)?,
        activation::gelu_tanh(pass, x)?,
        activation::gated(pass, x, &x.affine(-0.5, 0.1)?, SILU)?,
        activation::gated(pass, &x.affine(-0.5, 0.1)?, x, GELU_TANH)?,
        attention(2, 2, Columns::Interleaved, 4, Scores::of_size(8))?,
        attention(4, 1, Columns::Blocks, 8, Scores { cap: Some(1.5), window: Some(2), ..Scores::of_size(8) })?,
        lm_head::losses(pass.backend(), x, targets)?,
    ])
}

/// The largest distance of what a backend gives from what candle's operations give, gradients by the input included; over operations of
/// every kind, on this device.
///
/// # Errors
/// What one of the two backends says.
pub fn distance_from_composed(
    backend: Backend,
    device: &Device,
    operations: &dyn Fn(&Pass, &Tensor) -> Result<Vec<Tensor>>,
) -> Result<f32> {
    let numbers: Vec<f32> = (0..6 * 48).map(|i| ((i * 7919 % 101) as f32 - 50.0) / 40.0).collect();
    let results = |backend| -> Result<Vec<Tensor>> {
        let x = Var::from_vec(numbers.clone(), (6, 48), device)?;
        let mut results = operations(&Pass::new(backend), &x)?;
        for index in 0..results.len() {
            let slopes = results[index].sqr()?.sum_all()?.backward()?;
            results.extend(slopes.get(&x).cloned());
        }
        Ok(results)
    };
    let (ours, theirs) = (results(backend)?, results(Backend::composed())?);
    let mut most = if ours.len() == theirs.len() { 0f32 } else { f32::INFINITY };
    for (ours, theirs) in ours.iter().zip(&theirs) {
        let distance = (ours - theirs)?.abs()?.flatten_all()?.max(D::Minus1)?.to_scalar::<f32>()?;
        most = if distance.is_nan() { f32::INFINITY } else { most.max(distance) };
    }
    Ok(most)
}
