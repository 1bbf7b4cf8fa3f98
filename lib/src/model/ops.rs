//! Tensors → tensors, with gradients: the only layer norm, GELU, attention, bias and loss that models may call.
//!
//! On the CPU each is one fused operation over [`crate::model::kernels`]; on any other device it is composed of candle's
//! differentiable operations. candle's own `LayerNorm`, `softmax_last_dim` and `rope` return no gradient and no error
//! (candle issues 2168 and 3011), which is why they do not appear here.

use std::sync::{Arc, Mutex};

use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, D, Layout, Shape, Tensor};

use crate::model::attention::{AttentionShape, LayerCache, Rotary};
use crate::model::kernels;

type Answer<T> = candle_core::Result<T>;

/// The f32 values of a contiguous tensor in CPU memory.
fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Answer<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => candle_core::bail!("this operation needs a contiguous tensor"),
    }
}

fn on_cpu(x: &Tensor) -> bool {
    x.device().is_cpu()
}

struct Gelu;
struct GeluGrad;

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Answer<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(kernels::gelu(values(x, layout)?)), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Answer<Option<Tensor>> {
        Ok(Some(x.apply_op2_no_bwd(&grad.contiguous()?, &GeluGrad)?))
    }
}

impl CustomOp2 for GeluGrad {
    fn name(&self) -> &'static str {
        "gelu_grad"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, grad: &CpuStorage, lg: &Layout) -> Answer<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(kernels::gelu_grad(values(x, lx)?, values(grad, lg)?)), lx.shape().clone()))
    }
}

/// GELU with the exact normal distribution function (Hendrycks & Gimpel 2016), any shape.
pub fn gelu(x: &Tensor) -> Answer<Tensor> {
    if on_cpu(x) { x.contiguous()?.apply_op1(Gelu) } else { x.gelu_erf() }
}

struct AddBias;
struct ColumnSum;

impl CustomOp2 for AddBias {
    fn name(&self) -> &'static str {
        "add_bias"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, bias: &CpuStorage, lb: &Layout) -> Answer<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(kernels::add_bias(values(x, lx)?, values(bias, lb)?)), lx.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor, grad: &Tensor) -> Answer<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        Ok((Some(grad.clone()), Some(grad.apply_op1_no_bwd(&ColumnSum)?)))
    }
}

impl CustomOp1 for ColumnSum {
    fn name(&self) -> &'static str {
        "column_sum"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Answer<(CpuStorage, Shape)> {
        let width = layout.shape().dim(D::Minus1)?;
        Ok((CpuStorage::F32(kernels::column_sum(values(x, layout)?, width)), Shape::from(width)))
    }
}

/// `x (N,I) · weight (O,I)ᵀ + bias (O)` → `(N,O)`.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Answer<Tensor> {
    let y = x.matmul(&weight.t()?)?;
    match bias {
        Some(bias) if on_cpu(x) => y.apply_op2(bias, AddBias),
        Some(bias) => y.broadcast_add(bias),
        None => Ok(y),
    }
}

struct LayerNorm(f32);
struct LayerNormGradInput(f32);
struct LayerNormGradAffine(f32);

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
        b: &CpuStorage,
        lb: &Layout,
    ) -> Answer<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(kernels::layer_norm(values(x, lx)?, values(w, lw)?, values(b, lb)?, self.0)), lx.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Answer<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let input = x.apply_op3_no_bwd(weight, &grad, &LayerNormGradInput(self.0))?;
        let affine = x.apply_op2_no_bwd(&grad, &LayerNormGradAffine(self.0))?;
        Ok((Some(input), Some(affine.get(0)?), Some(affine.get(1)?)))
    }
}

impl CustomOp3 for LayerNormGradInput {
    fn name(&self) -> &'static str {
        "layer_norm_grad_input"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
        g: &CpuStorage,
        lg: &Layout,
    ) -> Answer<(CpuStorage, Shape)> {
        let grad = kernels::layer_norm_grad_input(values(x, lx)?, values(w, lw)?, values(g, lg)?, self.0);
        Ok((CpuStorage::F32(grad), lx.shape().clone()))
    }
}

impl CustomOp2 for LayerNormGradAffine {
    fn name(&self) -> &'static str {
        "layer_norm_grad_affine"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, g: &CpuStorage, lg: &Layout) -> Answer<(CpuStorage, Shape)> {
        let width = lx.shape().dim(D::Minus1)?;
        let grad = kernels::layer_norm_grad_affine(values(x, lx)?, values(g, lg)?, width, self.0);
        Ok((CpuStorage::F32(grad), Shape::from((2, width))))
    }
}

/// Layer norm over the last axis (Ba et al. 2016), `x (N,C)`, weight and bias `(C)`.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, epsilon: f64) -> Answer<Tensor> {
    if on_cpu(x) {
        return x.contiguous()?.apply_op3(weight, bias, LayerNorm(epsilon as f32));
    }
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    centred.broadcast_div(&(variance + epsilon)?.sqrt()?)?.broadcast_mul(weight)?.broadcast_add(bias)
}

struct Attention(AttentionShape);
struct AttentionGrad(AttentionShape);

impl CustomOp1 for Attention {
    fn name(&self) -> &'static str {
        "causal_attention"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Answer<(CpuStorage, Shape)> {
        let context = self.0.forward(values(qkv, layout)?);
        let shape = Shape::from((self.0.batch * self.0.time, self.0.heads * self.0.head_size));
        Ok((CpuStorage::F32(context), shape))
    }

    fn bwd(&self, qkv: &Tensor, _: &Tensor, grad: &Tensor) -> Answer<Option<Tensor>> {
        Ok(Some(qkv.apply_op2_no_bwd(&grad.contiguous()?, &AttentionGrad(self.0.clone()))?))
    }
}

impl CustomOp2 for AttentionGrad {
    fn name(&self) -> &'static str {
        "causal_attention_grad"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, lq: &Layout, grad: &CpuStorage, lg: &Layout) -> Answer<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(self.0.backward(values(qkv, lq)?, values(grad, lg)?)), lq.shape().clone()))
    }
}

/// Causal attention with rotary positions: `qkv (B·T, H·3·D)` → context `(B·T, H·D)`.
pub fn attention(qkv: &Tensor, shape: &AttentionShape) -> Answer<Tensor> {
    if on_cpu(qkv) {
        return qkv.contiguous()?.apply_op1(Attention(shape.clone()));
    }
    attention_composed(qkv, shape)
}

/// Attention of new positions of one sequence over those in a layer's cache, which grows by them; no gradient.
pub struct CachedAttention {
    /// B = 1 and T new positions.
    pub shape: AttentionShape,
    /// Keys and values so far.
    pub cache: Arc<Mutex<LayerCache>>,
}

impl CustomOp1 for CachedAttention {
    fn name(&self) -> &'static str {
        "cached_attention"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Answer<(CpuStorage, Shape)> {
        let Ok(mut cache) = self.cache.lock() else { candle_core::bail!("the key/value cache is broken: start a new one") };
        let context = self.shape.forward_cached(values(qkv, layout)?, &mut cache);
        Ok((CpuStorage::F32(context), Shape::from((self.shape.time, self.shape.heads * self.shape.head_size))))
    }
}

/// [`attention`] from candle's own differentiable operations, on any device.
pub fn attention_composed(qkv: &Tensor, shape: &AttentionShape) -> Answer<Tensor> {
    let (batch, time, heads, size) = (shape.batch, shape.time, shape.heads, shape.head_size);
    let split = qkv.reshape((batch, time, heads, 3 * size))?.transpose(1, 2)?;
    let part = |index: usize| split.narrow(D::Minus1, index * size, size)?.contiguous();
    let (query, key, value) = (rotate(&part(0)?, &shape.rotary)?, rotate(&part(1)?, &shape.rotary)?, part(2)?);
    let scores = (query.matmul(&key.t()?)? / (size as f64).sqrt())?;
    let mask: Vec<f32> = (0..time * time).map(|i| if i % time > i / time { f32::NEG_INFINITY } else { 0.0 }).collect();
    let scores = scores.broadcast_add(&Tensor::from_vec(mask, (time, time), qkv.device())?)?;
    let context = candle_nn::ops::softmax(&scores, D::Minus1)?.matmul(&value)?;
    context.transpose(1, 2)?.reshape((batch * time, heads * size))
}

/// Rotary positions on the first dimensions of `x (B,H,T,D)`, from position 0.
fn rotate(x: &Tensor, rotary: &Rotary) -> Answer<Tensor> {
    let (_, _, time, size) = x.dims4()?;
    let half = rotary.half();
    if half == 0 {
        return Ok(x.clone());
    }
    let (cos, sin) = rotary.tables();
    let table = |values: &[f32]| Tensor::from_slice(&values[..time * half], (time, half), x.device());
    let (cos, sin) = (table(cos)?, table(sin)?);
    let (first, second) = (x.narrow(D::Minus1, 0, half)?, x.narrow(D::Minus1, half, half)?);
    let turned = (first.broadcast_mul(&cos)? - second.broadcast_mul(&sin)?)?;
    let other = (second.broadcast_mul(&cos)? + first.broadcast_mul(&sin)?)?;
    let rest = x.narrow(D::Minus1, 2 * half, size - 2 * half)?;
    if size == 2 * half { Tensor::cat(&[&turned, &other], D::Minus1) } else { Tensor::cat(&[&turned, &other, &rest], D::Minus1) }
}

struct CrossEntropy {
    targets: Vec<u32>,
    weights: Vec<f32>,
}

struct CrossEntropyGrad {
    targets: Vec<u32>,
    weights: Vec<f32>,
    grad: f32,
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Answer<(CpuStorage, Shape)> {
        let loss = kernels::cross_entropy(values(logits, layout)?, &self.targets, &self.weights);
        Ok((CpuStorage::F32(vec![loss as f32]), Shape::from(())))
    }

    fn bwd(&self, logits: &Tensor, _: &Tensor, grad: &Tensor) -> Answer<Option<Tensor>> {
        let op = CrossEntropyGrad { targets: self.targets.clone(), weights: self.weights.clone(), grad: grad.to_scalar()? };
        Ok(Some(logits.apply_op1_no_bwd(&op)?))
    }
}

impl CustomOp1 for CrossEntropyGrad {
    fn name(&self) -> &'static str {
        "cross_entropy_grad"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Answer<(CpuStorage, Shape)> {
        let grad = kernels::cross_entropy_grad(values(logits, layout)?, &self.targets, &self.weights, self.grad);
        Ok((CpuStorage::F32(grad), layout.shape().clone()))
    }
}

/// `Σ weight · cross entropy` of `logits (N,V)` against one target id a row: a scalar sum, never a mean.
///
/// A weight of 0 leaves a row out (padding, prompt); targets must be below V.
pub fn cross_entropy_sum(logits: &Tensor, targets: &[u32], weights: &[f32]) -> Answer<Tensor> {
    let (rows, vocabulary) = logits.dims2()?;
    if rows != targets.len() || rows != weights.len() {
        candle_core::bail!("{rows} rows of logits, {} targets, {} weights: the counts must agree", targets.len(), weights.len());
    }
    if let Some(id) = targets.iter().find(|&&id| id as usize >= vocabulary) {
        candle_core::bail!("target id {id} is outside of the vocabulary of {vocabulary}: model and tokenizer do not belong together");
    }
    if on_cpu(logits) {
        return logits.contiguous()?.apply_op1(CrossEntropy { targets: targets.to_vec(), weights: weights.to_vec() });
    }
    let log_probabilities = candle_nn::ops::log_softmax(logits, D::Minus1)?;
    let targets = Tensor::from_slice(targets, (rows, 1), logits.device())?;
    let weights = Tensor::from_slice(weights, (rows, 1), logits.device())?;
    log_probabilities.gather(&targets, 1)?.mul(&weights)?.sum_all()?.neg()
}
