//! Every fused operation against PyTorch, forward and backward, and against its composed form.

use std::sync::Arc;

use candle_core::{Device, Tensor, Var};
use finetuning::compute::cpu::attention::Scores;
use finetuning::compute::cpu::loss::{Head, Targets};
use finetuning::nn::activation;
use finetuning::nn::attention::call::attention;
use finetuning::nn::attention::shape::{AttentionShape, Columns};
use finetuning::nn::backend::Backend;
use finetuning::nn::norm::Norm;
use finetuning::nn::parameter::Parameter;
use finetuning::nn::rotary::Rotary;
use finetuning::nn::tape::Pass;
use serde_json::Value;

use crate::support::{assert_close, json, numbers, values};

fn variable(value: &Value) -> Var {
    let mut shape = Vec::new();
    let mut inner = value;
    while let Value::Array(items) = inner {
        shape.push(items.len());
        inner = &items[0];
    }
    Var::from_tensor(&Tensor::from_vec(numbers(value), shape, &Device::Cpu).unwrap()).unwrap()
}

/// Gradients of `Σ y · dy`, which have the given `dy` as the gradient of `y`.
fn backward(y: &Tensor, dy: &Value, of: &[&Var]) -> Vec<Vec<f32>> {
    let dy = variable(dy).as_detached_tensor().reshape(y.shape()).unwrap();
    let store = (y * dy).unwrap().sum_all().unwrap().backward().unwrap();
    of.iter().map(|var| values(store.get(var.as_tensor()).unwrap())).collect()
}

#[test]
fn gelu_is_pytorchs() {
    let case = &json("operations.json")["gelu"];
    let x = variable(&case["x"]);
    let y = activation::gelu(&Pass::new(Backend::fused()), x.as_tensor()).unwrap();
    assert_close("y", &values(&y), &numbers(&case["y"]), 2e-6, 1e-6);
    assert_close("dx", &backward(&y, &case["dy"], &[&x])[0], &numbers(&case["dx"]), 2e-6, 1e-6);
}

#[test]
fn layer_norm_is_pytorchs() {
    let case = &json("operations.json")["layer_norm"];
    let (x, weight, bias) = (variable(&case["x"]), variable(&case["weight"]), variable(&case["bias"]));
    let norm =
        Norm { weight: Parameter::new(weight), bias: Some(Parameter::new(bias)), epsilon: case["eps"].as_f64().unwrap(), offset: 0.0 };
    let y = norm.forward(&Pass::new(Backend::fused()), x.as_tensor()).unwrap();
    assert_close("y", &values(&y), &numbers(&case["y"]), 2e-6, 1e-5);
    assert_close("dx", &backward(&y, &case["dy"], &[&x])[0], &numbers(&case["dx"]), 2e-6, 1e-5);
    for (parameter, name) in [(&norm.weight, "dweight"), (norm.bias.as_ref().unwrap(), "dbias")] {
        assert_close(name, &parameter.gradient().unwrap(), &numbers(&case[name]), 2e-6, 1e-5);
    }
}

#[test]
fn cross_entropy_is_pytorchs() {
    let case = &json("operations.json")["cross_entropy"];
    let (logits, weights) = (numbers(&case["logits"]), numbers(&case["weights"]));
    let ids: Vec<u32> = numbers(&case["targets"]).iter().map(|&id| id as u32).collect();
    let vocabulary = logits.len() / ids.len();
    // With the unit matrix as projection the hidden rows are the logits.
    let unit: Vec<f32> = (0..vocabulary * vocabulary).map(|i| if i % (vocabulary + 1) == 0 { 1.0 } else { 0.0 }).collect();
    let (head, targets) = (
        Head {
            weight: finetuning::compute::cpu::gemv::Matrix::Full(&unit),
            bias: None,
            cap: None,
            width: vocabulary,
            scratch: &Default::default(),
        },
        Targets { labels: &ids, weights: &weights, smoothing: 0.0 },
    );
    let (sum, slope, _) = head.backward(&logits, targets, None);
    assert_close("sum", &[sum as f32], &numbers(&case["sum"]), 2e-6, 1e-6);
    assert_close("dlogits", &slope, &numbers(&case["dlogits"]), 2e-6, 1e-6);
    let losses: f32 = head.losses(&logits, targets).iter().zip(&weights).map(|(loss, weight)| loss * weight).sum();
    assert_close("losses", &[losses], &numbers(&case["sum"]), 2e-6, 1e-6);
}

/// `q`, `k`, `v` of shape `(1,H,T,D)` or `(B,H,T,D)` → the rows that attention reads.
fn interleave(parts: [&Tensor; 3]) -> Tensor {
    let (batch, heads, time, size) = parts[0].dims4().unwrap();
    let joined = Tensor::cat(&parts, 3).unwrap();
    joined.transpose(1, 2).unwrap().reshape((batch * time, heads * 3 * size)).unwrap()
}

#[test]
fn attention_is_pytorchs() {
    let case = &json("operations.json")["causal_attention"];
    let parts: Vec<Var> = ["q", "k", "v"].iter().map(|name| variable(&case[*name])).collect();
    let (batch, heads, time, size) = parts[0].as_tensor().dims4().unwrap();
    let shape = shape(&vec![time; batch], [heads, heads], size, Columns::Interleaved, Rotary::new(0, 1e4, None));
    let qkv = interleave([parts[0].as_tensor(), parts[1].as_tensor(), parts[2].as_tensor()]);
    let context = attention(&Pass::new(Backend::fused()), &qkv, &shape).unwrap();
    let y = context.reshape((batch, time, heads, size)).unwrap().transpose(1, 2).unwrap().contiguous().unwrap();
    assert_close("y", &values(&y), &numbers(&case["y"]), 2e-6, 1e-5);
    let grads = backward(&y, &case["dy"], &parts.iter().collect::<Vec<_>>());
    for (grad, name) in grads.iter().zip(["dq", "dk", "dv"]) {
        assert_close(name, grad, &numbers(&case[name]), 2e-6, 1e-5);
    }
}

fn shape(lengths: &[usize], heads: [usize; 2], head_size: usize, columns: Columns, rotary: Rotary) -> AttentionShape {
    AttentionShape {
        lengths: lengths.into(),
        heads: heads[0],
        kv_heads: heads[1],
        head_size,
        columns,
        rotary: Arc::new(rotary),
        scores: Scores::of_size(head_size),
    }
}

#[test]
fn fused_attention_is_composed_attention() {
    // Longer and shorter than a block of queries; heads that share keys and values; part of a head or all of it turned.
    // The whole past, or windows shorter and longer than a block; capped or not.
    let forms = [(None, None), (None, Some(1.5)), (Some(5), None), (Some(100), Some(1.5)), (Some(1), None)];
    let layouts = [([2, 2], Columns::Interleaved, 6), ([4, 2], Columns::Blocks, 20)];
    for ((heads, columns, turned), (window, cap)) in layouts.into_iter().flat_map(|layout| forms.map(|form| (layout, form))) {
        let mut shape = shape(&[9, 150, 1], heads, 20, columns, Rotary::new(turned, 1e4, None));
        shape.scores = Scores { window, cap, ..shape.scores };
        let qkv = Var::randn(0f32, 1f32, (160, (heads[0] + 2 * heads[1]) * 20), &Device::Cpu).unwrap();
        let dy = Tensor::randn(0f32, 1f32, (160, heads[0] * 20), &Device::Cpu).unwrap();
        let [fused, composed] =
            [Backend::fused(), Backend::composed()].map(|backend| attention(&Pass::new(backend), qkv.as_tensor(), &shape).unwrap());
        assert_close("context", &values(&fused), &values(&composed), 2e-6, 2e-6);
        let grad = |y: &Tensor| values((y * &dy).unwrap().sum_all().unwrap().backward().unwrap().get(qkv.as_tensor()).unwrap());
        assert_close("gradient", &grad(&fused), &grad(&composed), 1e-5, 1e-5);
    }
}
