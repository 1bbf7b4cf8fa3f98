//! (weights with gradients, learning rate) → new weights: AdamW and Adafactor with state that can be read, saved and loaded.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, ErrorKind, Result};
use crate::nn::backend::Backend;
use crate::nn::parameter::{Gradient, Parameter};
use crate::optim::composed;
use crate::optim::gradients::Gradients;
use crate::optim::loss_scale::LossScale;
use crate::optim::settings::{Optim, OptimizerSettings};
use compute::cpu::update::{UpdateArgs, adafactor, adafactor_rows, adamw, adamw_rows};

/// The name of the loss scale in a saved state.
const LOSS_SCALE: &str = "loss_scale";

/// An optimizer over named weights; its state is f32, in host memory or on the device of the weights.
#[derive(Debug, Clone)]
pub struct Optimizer {
    settings: OptimizerSettings,
    backend: Backend,
    step: u64,
    /// What gradients were multiplied by before they came.
    pub loss_scale: LossScale,
    /// One for each parameter; nothing for a frozen one.
    state: Vec<OptimizerState>,
}

/// What is remembered of a parameter: AdamW `[mean, square]`; Adafactor `[rows, columns]` of a matrix or `[square]` of a vector.
#[derive(Debug, Clone)]
enum OptimizerState {
    /// In host memory, for the fused updates.
    Host(Vec<Vec<f32>>),
    /// Where the parameter is.
    Device(Vec<Tensor>),
}

impl OptimizerState {
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
    ///
    /// # Errors
    /// When a device has no room for the state.
    pub fn new(settings: OptimizerSettings, backend: Backend, weights: &[(String, Parameter)]) -> Result<Self> {
        let state = weights.iter().map(|(_, parameter)| OptimizerState::new(settings.kind, backend, parameter)).collect::<Result<_>>()?;
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

    /// One step at the learning rate `rate` with the gradients of the weights, each times `scale`; they are used up.
    ///
    /// # Errors
    /// When a device fails.
    pub fn step(&mut self, weights: &[(String, Parameter)], rate: f64, scale: f32) -> Result<()> {
        self.step_with(weights, Gradients::take(weights), rate, scale)
    }

    /// [`Optimizer::step`] with gradients that were taken already.
    ///
    /// # Errors
    /// When a device fails.
    pub fn step_with(&mut self, weights: &[(String, Parameter)], gradients: Gradients, rate: f64, scale: f32) -> Result<()> {
        self.step += 1;
        for (((_, parameter), gradient), state) in weights.iter().zip(gradients.into_each()).zip(&mut self.state) {
            if parameter.is_frozen() {
                continue;
            }
            let dims = parameter.dims().to_vec();
            let decay = if dims.len() > 1 { self.settings.weight_decay } else { 0.0 };
            let OptimizerSettings { betas, epsilon, .. } = self.settings;
            let args = UpdateArgs { betas, epsilon, weight_decay: decay, step: self.step, rate, scale };
            match (state, &gradient) {
                (_, Gradient::Empty) => continue,
                (OptimizerState::Host(state), _) => parameter.update(|values| match (&gradient, self.settings.kind) {
                    (Gradient::Dense(gradient), Optim::AdamW) => adamw(values, gradient, state, args),
                    (Gradient::Dense(gradient), Optim::Adafactor) => adafactor(values, gradient, state, &dims, args),
                    (Gradient::Rows(rows), Optim::AdamW) => adamw_rows(values, rows, state, dims[1], args),
                    (Gradient::Rows(rows), Optim::Adafactor) => adafactor_rows(values, rows, state, dims[1], args),
                    (Gradient::Empty | Gradient::OnDevice(_), _) => {}
                })?,
                (OptimizerState::Device(state), gradient) => {
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
    ///
    /// # Errors
    /// When a device fails.
    pub fn tensors(&self, weights: &[(String, Parameter)]) -> Result<HashMap<String, Tensor>> {
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
    ///
    /// # Errors
    /// When a tensor is missing or of another size; nothing is taken over then.
    pub fn load(&mut self, weights: &[(String, Parameter)], tensors: &HashMap<String, Tensor>) -> Result<()> {
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
