//! Every fused operation against PyTorch, forward and backward, and against its composed form.

use std::sync::Arc;

use candle_core::{Device, Tensor, Var};
use finetuning::model::attention::{AttentionShape, Rotary};
use finetuning::model::ops;
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
    let y = ops::gelu(x.as_tensor()).unwrap();
    assert_close("y", &values(&y), &numbers(&case["y"]), 2e-6, 1e-6);
    assert_close("dx", &backward(&y, &case["dy"], &[&x])[0], &numbers(&case["dx"]), 2e-6, 1e-6);
}

#[test]
fn layer_norm_is_pytorchs() {
    let case = &json("operations.json")["layer_norm"];
    let (x, weight, bias) = (variable(&case["x"]), variable(&case["weight"]), variable(&case["bias"]));
    let y = ops::layer_norm(x.as_tensor(), weight.as_tensor(), bias.as_tensor(), case["eps"].as_f64().unwrap()).unwrap();
    assert_close("y", &values(&y), &numbers(&case["y"]), 2e-6, 1e-5);
    let grads = backward(&y, &case["dy"], &[&x, &weight, &bias]);
    for (grad, name) in grads.iter().zip(["dx", "dweight", "dbias"]) {
        assert_close(name, grad, &numbers(&case[name]), 2e-6, 1e-5);
    }
}

#[test]
fn cross_entropy_is_pytorchs() {
    let case = &json("operations.json")["cross_entropy"];
    let logits = variable(&case["logits"]);
    let targets: Vec<u32> = numbers(&case["targets"]).iter().map(|&id| id as u32).collect();
    let loss = ops::cross_entropy_sum(logits.as_tensor(), &targets, &numbers(&case["weights"])).unwrap();
    assert_close("sum", &values(&loss), &numbers(&case["sum"]), 2e-6, 1e-6);
    let store = loss.backward().unwrap();
    assert_close("dlogits", &values(store.get(logits.as_tensor()).unwrap()), &numbers(&case["dlogits"]), 2e-6, 1e-6);
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
    let shape = AttentionShape { batch, time, heads, head_size: size, rotary: Arc::new(Rotary::new(0, time, 1e4)) };
    let qkv = interleave([parts[0].as_tensor(), parts[1].as_tensor(), parts[2].as_tensor()]);
    let context = ops::attention(&qkv, &shape).unwrap();
    let y = context.reshape((batch, time, heads, size)).unwrap().transpose(1, 2).unwrap().contiguous().unwrap();
    assert_close("y", &values(&y), &numbers(&case["y"]), 2e-6, 1e-5);
    let grads = backward(&y, &case["dy"], &parts.iter().collect::<Vec<_>>());
    for (grad, name) in grads.iter().zip(["dq", "dk", "dv"]) {
        assert_close(name, grad, &numbers(&case[name]), 2e-6, 1e-5);
    }
}

#[test]
fn fused_attention_is_composed_attention() {
    let shape = AttentionShape { batch: 3, time: 9, heads: 2, head_size: 20, rotary: Arc::new(Rotary::new(6, 16, 1e4)) };
    let qkv = Var::randn(0f32, 1f32, (27, 120), &Device::Cpu).unwrap();
    let dy = Tensor::randn(0f32, 1f32, (27, 40), &Device::Cpu).unwrap();
    let [fused, composed] = [ops::attention(qkv.as_tensor(), &shape).unwrap(), ops::attention_composed(qkv.as_tensor(), &shape).unwrap()];
    assert_close("context", &values(&fused), &values(&composed), 2e-6, 2e-6);
    let grad = |y: &Tensor| values((y * &dy).unwrap().sum_all().unwrap().backward().unwrap().get(qkv.as_tensor()).unwrap());
    assert_close("gradient", &grad(&fused), &grad(&composed), 5e-6, 5e-6);
}
