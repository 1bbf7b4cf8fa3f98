//! A GPU that this process has not used → whether our kernels compute there what candle's operations do. They were written
//! without a GPU at hand; where one differs, candle's operations do its work, and a line on stderr says so.

use std::sync::Arc;

use candle_core::{D, Device, Tensor, Var};

use crate::nn::activation;
use crate::nn::attention::composed;
use crate::nn::attention::fused::{AttentionShape, Columns};
use crate::nn::backend;
use crate::nn::norm::Norm;
use crate::nn::parameter::Parameter;
use crate::nn::rotary::Rotary;
use compute::cpu::activation::{GELU_TANH, SILU};
use compute::cpu::attention::Scores;
use compute::cpu::loss::Targets;

type Answer<T> = candle_core::Result<T>;

/// What the two may differ by: f32, added up in another order.
const BOUND: f32 = 1e-3;

/// Lets the kernels compute in this process if they are right on this device; a CPU needs none.
pub fn approve(device: &Device) {
    #[cfg(feature = "cuda")]
    if device.is_cuda() {
        static CHECKED: std::sync::Once = std::sync::Once::new();
        CHECKED.call_once(|| {
            compute::cuda::launch::approve(true);
            if let Some(fault) = fault(device) {
                compute::cuda::launch::approve(false);
                eprintln!("the GPU kernels of this crate are not used, candle's operations compute: {fault}");
            }
        });
    }
    let _ = device;
}

/// What is wrong with the kernels on this device; `None`: nothing.
pub fn fault(device: &Device) -> Option<String> {
    match distance_from_composed(device, &|x| operations(x)) {
        Ok(distance) if distance <= BOUND => None,
        Ok(distance) => Some(format!("their results are {distance:e} away from candle's")),
        Err(error) => Some(error.to_string()),
    }
}

/// Every kind of operation of a model on `x (6,48)`.
fn operations(x: &Tensor) -> Answer<Vec<Tensor>> {
    let factors = |from: f32| -> Answer<Parameter> {
        let values: Vec<f32> = (0..48).map(|i| from + i as f32 / 48.0).collect();
        Ok(Parameter::new(Var::from_vec(values, 48, x.device())?))
    };
    let layer = Norm { weight: factors(0.5)?, bias: Some(factors(-0.5)?), epsilon: 1e-5, offset: 0.0 };
    let rms = Norm { weight: factors(0.5)?, bias: None, epsilon: 1e-5, offset: 1.0 };
    let attention = |heads, groups, columns, turned, scores| {
        let shape = AttentionShape {
            lengths: [2, 4].into(),
            heads,
            groups,
            head_size: 8,
            columns,
            rotary: Arc::new(Rotary::new(turned, 8, 1e4, None)),
            scores,
        };
        composed::attention(x, &shape, &mut [])
    };
    let targets = Targets { ids: &[1, 2, 3, 5, 8, 13], weights: &[1.0; 6], smoothing: 0.1 };
    Ok(vec![
        layer.forward(x)?,
        rms.forward(x)?,
        activation::gelu(x)?,
        activation::gelu_tanh(x)?,
        activation::gated(x, &x.affine(-0.5, 0.1)?, SILU)?,
        activation::gated(&x.affine(-0.5, 0.1)?, x, GELU_TANH)?,
        attention(2, 2, Columns::Interleaved, 4, Scores::of_size(8))?,
        attention(4, 1, Columns::Blocks, 8, Scores { cap: Some(1.5), window: Some(2), ..Scores::of_size(8) })?,
        composed::losses(x, targets)?,
    ])
}

/// The largest distance of what kernels give from what candle's operations give, gradients by the input included; over operations of
/// every kind, on this device.
pub fn distance_from_composed(device: &Device, operations: &dyn Fn(&Tensor) -> Answer<Vec<Tensor>>) -> Answer<f32> {
    let numbers: Vec<f32> = (0..6 * 48).map(|i| ((i * 7919 % 101) as f32 - 50.0) / 40.0).collect();
    let results = || -> Answer<Vec<Tensor>> {
        let x = Var::from_vec(numbers.clone(), (6, 48), device)?;
        let mut results = operations(&x)?;
        for index in 0..results.len() {
            let slopes = results[index].sqr()?.sum_all()?.backward()?;
            results.extend(slopes.get(&x).cloned());
        }
        Ok(results)
    };
    let (ours, theirs) = (results()?, backend::composed(results)?);
    let mut most = if ours.len() == theirs.len() { 0f32 } else { f32::INFINITY };
    for (ours, theirs) in ours.iter().zip(&theirs) {
        let distance = (ours - theirs)?.abs()?.flatten_all()?.max(D::Minus1)?.to_scalar::<f32>()?;
        most = if distance.is_nan() { f32::INFINITY } else { most.max(distance) };
    }
    Ok(most)
}
