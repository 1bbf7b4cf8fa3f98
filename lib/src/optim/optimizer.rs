//! (weights with gradients, learning rate) → new weights: AdamW and Adafactor with state that can be read, saved and loaded.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::nn::backend::Backend;
use crate::nn::parameter::{Gradient, Parameter};
use crate::nn::weights::Weights;
use crate::optim::composed;
use crate::optim::loss_scale::LossScale;
use compute::cpu::update::{CHUNK, UpdateArgs, adafactor, adafactor_rows, adamw, adamw_rows};

/// The name of the loss scale in a saved state.
const LOSS_SCALE: &str = "loss_scale";

/// Which optimizer updates the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Optim {
    /// Adam with decoupled weight decay (Loshchilov & Hutter 2019), as `torch.optim.AdamW`.
    #[default]
    #[serde(rename = "adamw_torch_fused", alias = "adamw_torch")]
    AdamW,
    /// Adafactor (Shazeer & Stern 2018) with a fixed learning rate: no parameter scaling, no relative step.
    #[serde(rename = "adafactor")]
    Adafactor,
}

/// What an optimizer may be told; the defaults are PyTorch's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OptimizerSettings {
    /// Which one.
    pub kind: Optim,
    /// Decoupled weight decay of matrices; vectors (biases, norms) are not decayed. Default 0.
    pub weight_decay: f64,
    /// AdamW's decay of the mean and of the mean square. Default 0.9 and 0.999.
    pub betas: (f64, f64),
    /// AdamW's addend of the denominator. Default 1e-8.
    pub epsilon: f64,
    /// The number format of products, of which F16 needs a loss scale. Default F32.
    pub product_type: DType,
}

impl Default for OptimizerSettings {
    fn default() -> Self {
        Self { kind: Optim::AdamW, weight_decay: 0.0, betas: (0.9, 0.999), epsilon: 1e-8, product_type: DType::F32 }
    }
}

/// An optimizer over named weights; its state is f32, in host memory or on the device of the weights.
#[derive(Debug, Clone)]
pub struct Optimizer {
    settings: OptimizerSettings,
    backend: Backend,
    step: u64,
    /// What gradients were multiplied by before they came.
    pub loss_scale: LossScale,
    /// One for each parameter; nothing for a frozen one.
    state: Vec<Moments>,
}

/// What is remembered of a parameter: AdamW `[mean, square]`; Adafactor `[rows, columns]` of a matrix or `[square]` of a vector.
#[derive(Debug, Clone)]
enum Moments {
    /// In host memory, for the fused updates.
    Host(Vec<Vec<f32>>),
    /// Where the parameter is.
    Device(Vec<Tensor>),
}

impl Moments {
    /// Zeros for a parameter.
    fn new(kind: Optim, backend: Backend, parameter: &Parameter) -> Result<Self> {
        let dims = parameter.dims();
        let shapes: Vec<&[usize]> = match (kind, dims.len()) {
            _ if parameter.is_frozen() => Vec::new(),
            (Optim::AdamW, _) => vec![dims; 2],
            (Optim::Adafactor, 2) => vec![&dims[..1], &dims[1..]],
            (Optim::Adafactor, _) => vec![dims],
        };
        if backend.is_fused() {
            return Ok(Self::Host(shapes.into_iter().map(|shape| vec![0.0; shape.iter().product()]).collect()));
        }
        let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, parameter.device());
        Ok(Self::Device(shapes.into_iter().map(zeros).collect::<candle_core::Result<_>>()?))
    }

    /// The numbers of each part.
    fn values(&self) -> Result<Vec<Vec<f32>>> {
        match self {
            Self::Host(values) => Ok(values.clone()),
            Self::Device(tensors) => {
                Ok(tensors.iter().map(|tensor| tensor.flatten_all()?.to_vec1()).collect::<candle_core::Result<_>>()?)
            }
        }
    }

    /// The same with other numbers, as many as there are.
    fn with(&self, new: Vec<Vec<f32>>) -> Result<Self> {
        Ok(match self {
            Self::Host(_) => Self::Host(new),
            Self::Device(tensors) => {
                let part = |(old, new): (&Tensor, Vec<f32>)| Tensor::from_vec(new, old.shape(), old.device());
                Self::Device(tensors.iter().zip(new).map(part).collect::<candle_core::Result<_>>()?)
            }
        })
    }

    fn count(&self) -> usize {
        match self {
            Self::Host(values) => values.iter().map(Vec::len).sum(),
            Self::Device(tensors) => tensors.iter().map(Tensor::elem_count).sum(),
        }
    }
}

impl Optimizer {
    /// A fresh optimizer for the weights that are not frozen; it computes as the model does.
    pub fn new(settings: OptimizerSettings, backend: Backend, weights: &Weights) -> Result<Self> {
        let state = weights.iter().map(|(_, parameter)| Moments::new(settings.kind, backend, parameter)).collect::<Result<_>>()?;
        Ok(Self { settings, backend, step: 0, loss_scale: LossScale::new(settings.product_type), state })
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.step
    }

    /// Bytes of the state.
    pub fn bytes(&self) -> usize {
        self.state.iter().map(|moments| 4 * moments.count()).sum()
    }

    /// One step with the gradients of the weights, each times `scale`; the gradients are used up.
    pub fn step(&mut self, weights: &Weights, rate: f64, scale: f32) -> Result<()> {
        self.step += 1;
        for ((_, parameter), state) in weights.iter().zip(&mut self.state).filter(|((_, parameter), _)| !parameter.is_frozen()) {
            let dims = parameter.dims().to_vec();
            let decay = if dims.len() > 1 { self.settings.weight_decay } else { 0.0 };
            let OptimizerSettings { betas, epsilon, .. } = self.settings;
            let args = UpdateArgs { betas, epsilon, weight_decay: decay, step: self.step, rate, scale };
            let gradient = parameter.take_gradient();
            match (state, &gradient) {
                (_, Gradient::Empty) => continue,
                (Moments::Host(state), _) => parameter.update(|values| match (&gradient, self.settings.kind) {
                    (Gradient::Dense(gradient), Optim::AdamW) => adamw(values, gradient, state, args),
                    (Gradient::Dense(gradient), Optim::Adafactor) => adafactor(values, gradient, state, &dims, args),
                    (Gradient::Rows(rows), Optim::AdamW) => adamw_rows(values, rows, state, dims[1], args),
                    (Gradient::Rows(rows), Optim::Adafactor) => adafactor_rows(values, rows, state, dims[1], args),
                    (Gradient::Empty | Gradient::OnDevice(_), _) => {}
                })?,
                (Moments::Device(state), gradient) => {
                    let gradient = gradient.tensor(&dims, parameter.device())?;
                    let update = if self.settings.kind == Optim::AdamW { composed::adamw } else { composed::adafactor };
                    parameter.set(&update(self.backend, &parameter.detached(), &gradient, state, args)?)?;
                }
            }
            parameter.recycle(gradient);
        }
        Ok(())
    }

    /// The state as named tensors, for a checkpoint.
    pub fn tensors(&self, weights: &Weights) -> Result<HashMap<String, Tensor>> {
        let mut tensors = HashMap::from([("step".to_string(), Tensor::new(self.step as i64, &Device::Cpu)?)]);
        if self.settings.product_type == DType::F16 {
            let LossScale { factor, good } = self.loss_scale;
            tensors.insert(LOSS_SCALE.into(), Tensor::new(&[factor, good as f32], &Device::Cpu)?);
        }
        for ((name, _), state) in weights.iter().zip(&self.state) {
            for (index, values) in state.values()?.iter().enumerate() {
                tensors.insert(format!("{name}.{index}"), Tensor::from_slice(values, values.len(), &Device::Cpu)?);
            }
        }
        Ok(tensors)
    }

    /// Takes over a saved state.
    pub fn load(&mut self, weights: &Weights, tensors: &HashMap<String, Tensor>) -> Result<()> {
        let missing = |name: &str| {
            Error::new(ErrorKind::Training, format!("the optimizer state has no fitting `{name}`"))
                .hint("resume with the optimizer and model that wrote the checkpoint")
        };
        let mut state = self.state.clone();
        for ((name, _), state) in weights.iter().zip(&mut state) {
            let mut values = state.values()?;
            for (index, values) in values.iter_mut().enumerate() {
                let name = format!("{name}.{index}");
                let tensor = tensors.get(&name).filter(|tensor| tensor.elem_count() == values.len()).ok_or_else(|| missing(&name))?;
                *values = tensor.flatten_all()?.to_vec1()?;
            }
            *state = state.with(values)?;
        }
        self.step = tensors.get("step").ok_or_else(|| missing("step"))?.to_scalar::<i64>()? as u64;
        self.state = state;
        if let Some(tensor) = tensors.get(LOSS_SCALE) {
            let values = tensor.to_vec1::<f32>()?;
            let [factor, good] = values[..] else { return Err(missing(LOSS_SCALE)) };
            self.loss_scale = LossScale { factor, good: good as u32 };
        }
        Ok(())
    }
}

/// The norm of all gradients together, in a fixed order.
pub fn gradient_norm(weights: &Weights) -> Result<f64> {
    let chunk = |values: &[f32]| compute::cpu::rows::squares(values);
    let mut total = 0f64;
    for (_, parameter) in weights {
        let gradient = parameter.take_gradient();
        total += match &gradient {
            Gradient::Empty => 0.0,
            Gradient::Dense(values) => values.par_chunks(CHUNK).map(chunk).collect::<Vec<f64>>().iter().sum(),
            Gradient::Rows(rows) => rows.values().map(|row| chunk(row)).sum(),
            Gradient::OnDevice(tensor) => f64::from(tensor.sqr()?.sum_all()?.to_scalar::<f32>()?),
        };
        parameter.put_back(gradient);
    }
    Ok(total.sqrt())
}
