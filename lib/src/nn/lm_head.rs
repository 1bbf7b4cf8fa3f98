//! Hidden rows → logits, losses and gradients: the output projection and the cross entropy behind it.
//!
//! On the CPU both are one operation, which holds the logits of few rows at a time.

use std::sync::Mutex;

use candle_core::backprop::GradStore;
use candle_core::{D, Result, Tensor};

use crate::nn::backend::Backend;
use crate::nn::kernel_op;
use crate::nn::linear::{Linear, Weight};
use crate::nn::parameter::{Parameter, with_values};
use crate::nn::tape::{Pass, Segment};
use compute::cpu::loss::{Head, Targets};

/// The output projection `(N,C)` → `(N,V)`.
#[derive(Debug)]
pub struct LmHead {
    /// `(V,C)`; may be the embedding's weight.
    pub weight: Weight,
    /// Added to the logits `(V)`.
    pub bias: Option<Parameter>,
    /// Bound of a logit: `cap · tanh(logit / cap)`.
    pub cap: Option<f32>,
    /// Memory for logits, kept from one call to the next.
    scratch: Mutex<Vec<f32>>,
}

impl LmHead {
    /// A projection with a bias and a bound of the logits, where there are some.
    pub fn new(weight: Weight, bias: Option<Parameter>, cap: Option<f32>) -> Self {
        Self { weight, bias, cap, scratch: Mutex::default() }
    }

    /// Logits `(N,V)` of hidden rows `(N,C)`.
    ///
    /// # Errors
    /// candle's, where the shapes do not fit.
    pub fn logits(&self, pass: &Pass, hidden: &Tensor) -> Result<Tensor> {
        let logits = Linear { weight: self.weight.clone(), bias: self.bias.clone(), adapter: None }.forward(pass, hidden)?;
        match self.cap.map(f64::from) {
            Some(cap) => (logits / cap)?.tanh()? * cap,
            None => Ok(logits),
        }
    }

    /// Negative log-probability, in nats, of each row's target; 0 where its weight is 0. Targets that count are below V.
    ///
    /// # Errors
    /// candle's, where the shapes do not fit.
    pub fn losses(&self, pass: &Pass, hidden: &Tensor, targets: Targets) -> Result<Vec<f32>> {
        if pass.backend().is_fused() {
            return with_values(hidden, |hidden| self.with_head(|head| head.losses(hidden, targets)))?;
        }
        let losses = losses(pass.backend(), &self.logits(pass, hidden)?, targets)?.to_vec1::<f32>()?;
        Ok(losses.iter().zip(targets.weights).map(|(loss, weight)| if *weight == 0.0 { 0.0 } else { *loss }).collect())
    }

    /// `Σ weight · loss` of the hidden rows that a segment gave, and the gradient of its leaf. The projection's own gradients are
    /// added to its parameters; what candle's graph finds of parameters goes to `found`. Targets that count are below V.
    ///
    /// # Errors
    /// candle's, and for a segment whose leaf has no way to the hidden rows.
    pub fn backward(&self, segment: Segment, targets: Targets, found: impl FnOnce(&GradStore) -> Result<()>) -> Result<(f64, Tensor)> {
        let hidden = segment.output().clone();
        if !segment.pass().backend().is_fused() {
            let logits = self.logits(segment.pass(), &hidden)?;
            let weights = Tensor::from_slice(targets.weights, targets.weights.len(), hidden.device())?;
            let loss = losses(segment.pass().backend(), &logits, targets)?.mul(&weights)?.sum_all()?;
            let value = f64::from(loss.to_scalar::<f32>()?);
            return Ok((value, at_leaf(segment.back_from(&loss, found)?)?));
        }
        let (loss, grad, bias_grad) = with_values(&hidden, |hidden| {
            self.with_head(|head| {
                let mut result = None;
                match self.weight.parameter().filter(|parameter| !parameter.is_frozen()) {
                    None => result = Some(head.backward(hidden, targets, None)),
                    Some(parameter) => parameter.accumulate(|sum, add| result = Some(head.backward(hidden, targets, Some((sum, add))))),
                }
                result.unwrap_or_default()
            })
        })??;
        if let Some(bias) = &self.bias {
            bias.accumulate(|sum, add| sum.iter_mut().zip(&bias_grad).for_each(|(sum, own)| *sum = if add { *sum + own } else { *own }));
        }
        let grad = Tensor::from_vec(grad, hidden.shape(), hidden.device())?;
        drop(hidden);
        Ok((loss, at_leaf(segment.back(&grad, found)?)?))
    }

    fn with_head<T>(&self, work: impl FnOnce(Head) -> T) -> Result<T> {
        let (width, cap, scratch) = (self.weight.dims()[1], self.cap, &self.scratch);
        self.weight.with_matrix(|weight| match &self.bias {
            Some(bias) => with_values(bias, |bias| work(Head { weight, bias: Some(bias), cap, width, scratch })),
            None => Ok(work(Head { weight, bias: None, cap, width, scratch })),
        })?
    }
}

/// The gradient of a segment's leaf.
///
/// # Errors
/// Where there is no way to it.
pub(crate) fn at_leaf(grad: Option<Tensor>) -> Result<Tensor> {
    match grad {
        Some(grad) => Ok(grad),
        None => candle_core::bail!("an operation of the model has no backward pass"),
    }
}

/// Each row's loss `(N)` of logits `(N,V)`, whatever its weight, by candle's operations or our kernels. Targets that count are below V.
///
/// # Errors
/// candle's, where the shapes do not fit.
pub fn losses(backend: Backend, logits: &Tensor, targets: Targets) -> Result<Tensor> {
    // A target that does not count may be any number.
    let ids: Vec<u32> = targets.labels.iter().zip(targets.weights).map(|(&id, &weight)| if weight == 0.0 { 0 } else { id }).collect();
    let targets = Targets { labels: &ids, ..targets };
    if let Some(kernels) = backend.as_kernels() {
        return kernel_op::losses(kernels, logits, targets);
    }
    let log_probabilities = candle_nn::ops::log_softmax(logits, D::Minus1)?;
    let ids = Tensor::from_slice(targets.labels, (targets.labels.len(), 1), logits.device())?;
    let own = log_probabilities.gather(&ids, 1)?.squeeze(1)?.neg()?;
    if targets.smoothing == 0.0 {
        return Ok(own);
    }
    let even = log_probabilities.mean(D::Minus1)?.neg()?;
    (own * f64::from(1.0 - targets.smoothing))? + (even * f64::from(targets.smoothing))?
}
