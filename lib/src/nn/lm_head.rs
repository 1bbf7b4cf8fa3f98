//! Hidden rows → logits, losses and gradients: the output projection and the cross entropy behind it.
//!
//! On the CPU both are one operation, which holds the logits of few rows at a time.

use std::sync::Mutex;

use candle_core::backprop::GradStore;
use candle_core::{D, Device, Result, Tensor, Var};

use crate::nn::backend::Backend;
use crate::nn::kernel_op;
use crate::nn::linear::{Linear, Weight};
use crate::nn::parameter::{Parameter, with_values};
use crate::nn::tape::{Pass, Segment};
use compute::cpu::loss::{Head, Targets};

/// A loss of the caller's own: logits `(n,V)` in f32 and the ids `(n)` to predict → a loss of each, `(n)`, by operations that
/// candle has a gradient of.
pub type LogitLoss<'a> = &'a dyn Fn(&Tensor, &Tensor) -> Result<Tensor>;

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
            Some(cap) => {
                let bounded = ((&logits / cap)?.tanh()? * cap)?;
                let share = (&bounded / cap)?;
                pass.note(&[&logits], &bounded, move |grad| Ok(vec![Some((grad * (1.0 - share.sqr()?)?)?)]))?;
                Ok(bounded)
            }
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

    /// [`LmHead::backward`] with another loss. Rows of weight 0 are not handed to it.
    ///
    /// # Errors
    /// As [`LmHead::backward`], what `loss` says, and when it gives no number for each row, or none that depends on the logits.
    pub fn backward_of(
        &self,
        segment: Segment,
        targets: Targets,
        loss: LogitLoss,
        found: impl Fn(&GradStore) -> Result<()>,
    ) -> Result<(f64, Tensor)> {
        let (hidden, backend) = (segment.output().clone(), segment.pass().backend());
        let Some((rows, labels, weights)) = learnt(targets, hidden.device())? else {
            return Ok((0.0, at_leaf(segment.back(&hidden.zeros_like()?, found)?)?));
        };
        let projection = Segment::of(backend, &hidden.index_select(&rows, 0)?, |pass, hidden| self.logits(pass, hidden))?;
        let logits = Var::from_tensor(&projection.output().detach())?;
        let sum = each(loss, logits.as_tensor(), &labels)?.mul(&weights)?.sum_all()?;
        let Some(grad) = sum.backward()?.get(logits.as_tensor()).cloned() else {
            candle_core::bail!("the loss does not depend on the logits by operations that have a gradient");
        };
        let grad = at_leaf(projection.back(&grad.contiguous()?, &found)?)?;
        let grad = hidden.zeros_like()?.index_add(&rows, &grad, 0)?;
        Ok((f64::from(sum.to_scalar::<f32>()?), at_leaf(segment.back(&grad, found)?)?))
    }

    /// A loss of the caller's own of the rows whose weight is not 0, `Σ weight · loss`.
    ///
    /// # Errors
    /// As [`LmHead::backward_of`].
    pub fn sum_of(&self, pass: &Pass, hidden: &Tensor, targets: Targets, loss: LogitLoss) -> Result<f64> {
        let Some((rows, labels, weights)) = learnt(targets, hidden.device())? else { return Ok(0.0) };
        let logits = self.logits(pass, &hidden.index_select(&rows, 0)?)?;
        Ok(f64::from(each(loss, &logits, &labels)?.mul(&weights)?.sum_all()?.to_scalar::<f32>()?))
    }

    fn with_head<T>(&self, work: impl FnOnce(Head) -> T) -> Result<T> {
        let (width, cap, scratch) = (self.weight.dims()[1], self.cap, &self.scratch);
        self.weight.with_matrix(|weight| match &self.bias {
            Some(bias) => with_values(bias, |bias| work(Head { weight, bias: Some(bias), cap, width, scratch })),
            None => Ok(work(Head { weight, bias: None, cap, width, scratch })),
        })?
    }
}

/// The rows whose weight is not 0, their labels and their weights; none where there is no such row.
fn learnt(targets: Targets, device: &Device) -> Result<Option<(Tensor, Tensor, Tensor)>> {
    let kept: Vec<usize> = (0..targets.weights.len()).filter(|&row| targets.weights[row] != 0.0).collect();
    let count = kept.len();
    if count == 0 {
        return Ok(None);
    }
    let rows = Tensor::from_vec(kept.iter().map(|&row| row as u32).collect(), count, device)?;
    let labels = Tensor::from_vec(kept.iter().map(|&row| targets.labels[row]).collect(), count, device)?;
    let weights = Tensor::from_vec(kept.iter().map(|&row| targets.weights[row]).collect(), count, device)?;
    Ok(Some((rows, labels, weights)))
}

/// A loss of each row, in f32.
pub(crate) fn each(loss: LogitLoss, logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    let (losses, count) = (loss(logits, labels)?, labels.elem_count());
    if losses.dims() != [count] || losses.dtype() != logits.dtype() {
        candle_core::bail!(
            "the loss gives {:?} of shape {:?}; it must give one {:?} for each of the {count} labels, shape [{count}]: no mean and no sum over them",
            losses.dtype(),
            losses.dims(),
            logits.dtype()
        );
    }
    Ok(losses)
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
