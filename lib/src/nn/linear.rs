//! Rows → rows: the linear layer and the embedding, whose weight gradients are added to their parameters in place.

use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor};

use crate::nn::dora::{rescaled, row_lengths};
use crate::nn::lora::Adapter;
use crate::nn::packed::{dequantize, dequantize_rows, format_of};
use crate::nn::parameter::{Parameter, values, with_values};
use crate::nn::tape::Pass;
use compute::cpu::gemm::{Matrix, Threads, matmul};
use compute::cpu::gemv::{self, FEW_PACKED, is_few};
use compute::cpu::lanes::{self, is_wide};
use compute::cpu::packed::rounded_to_bf16;

/// `x (N,I) → x · weightᵀ + bias (N,O)`, `weight (O,I)`, `bias (O)`.
#[derive(Debug, Clone)]
pub struct Linear {
    /// `(O,I)`.
    pub weight: Weight,
    /// `(O)`.
    pub bias: Option<Parameter>,
    /// What is learnt beside a frozen weight.
    pub adapter: Option<Adapter>,
}

/// The matrix of a linear layer.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Weight {
    /// Numbers of 32 bits, which can be trained.
    Full(Parameter),
    /// Numbers of fewer bits, which are unpacked for each product and never trained.
    Packed(Arc<QTensor>),
}

impl Weight {
    /// `[O, I]`.
    pub fn dims(&self) -> &[usize] {
        match self {
            Self::Full(parameter) => parameter.dims(),
            Self::Packed(packed) => packed.shape().dims(),
        }
    }

    /// The parameter, where it can be trained.
    pub fn parameter(&self) -> Option<&Parameter> {
        match self {
            Self::Full(parameter) => Some(parameter),
            Self::Packed(_) => None,
        }
    }

    /// `(O,I)`, tracked by candle where it is to be trained.
    ///
    /// # Errors
    /// candle's, where a matrix cannot be unpacked.
    pub fn tensor(&self, device: &Device) -> Result<Tensor> {
        match self {
            Self::Full(parameter) if parameter.is_frozen() => Ok(parameter.detached()),
            Self::Full(parameter) => Ok(parameter.as_tensor().clone()),
            Self::Packed(packed) if device.is_cpu() => Tensor::from_vec(dequantize(packed)?, packed.shape(), device),
            Self::Packed(packed) => packed.dequantize(device),
        }
    }

    /// Lets `read` see the numbers as they lie in the memory of the CPU, packed where a format of ours is.
    pub(crate) fn with_matrix<T>(&self, read: impl FnOnce(gemv::Matrix) -> T) -> Result<T> {
        if let Self::Packed(packed) = self
            && let Some(format) = format_of(packed.dtype())
        {
            return Ok(read(gemv::Matrix::Packed(format, &packed.data()?)));
        }
        with_values(&self.tensor(&Device::Cpu)?, |values| read(gemv::Matrix::Full(values)))
    }

    /// `y += x · wᵀ`, or `y = x · wᵀ` where `y` is 0; on the CPU.
    fn multiply(&self, y: &mut [f32], x: &[f32], add: bool) -> Result<()> {
        let inputs = self.dims()[1];
        let rows = x.len() / inputs;
        if let Self::Packed(packed) = self
            && let Some(format) = format_of(packed.dtype()).filter(|_| rows <= FEW_PACKED)
        {
            let (w, walk) = (packed.data()?, if is_wide(rows) { lanes::rows_by_weight } else { gemv::rows_by_weight });
            walk(y, gemv::Matrix::Packed(format, &w), x, inputs);
            return Ok(());
        }
        let is_bf16 = matches!(self, Self::Packed(packed) if packed.dtype() == GgmlDType::BF16);
        let rounded: Option<Vec<f32>> = is_bf16.then(|| x.iter().copied().map(rounded_to_bf16).collect());
        let x = rounded.as_deref().unwrap_or(x);
        with_values(&self.tensor(&Device::Cpu)?, |w| match rows {
            rows if is_wide(rows) => lanes::rows_by_weight(y, gemv::Matrix::Full(w), x, inputs),
            rows if is_few(rows, w.len()) => gemv::rows_by_weight(y, gemv::Matrix::Full(w), x, inputs),
            _ => matmul(y, Matrix::new(x, inputs), Matrix::new(w, inputs).t(), add, Threads::All),
        })
    }
}

impl Linear {
    /// A layer without an adapter.
    pub fn new(weight: Parameter, bias: Option<Parameter>) -> Self {
        Self { weight: Weight::Full(weight), bias, adapter: None }
    }

    /// The product, with gradients.
    ///
    /// # Errors
    /// candle's, where the shapes do not fit.
    pub fn forward(&self, pass: &Pass, x: &Tensor) -> Result<Tensor> {
        let Some(adapter) = &self.adapter else { return self.product(pass, x) };
        let dropped = adapter.dropped(pass, x)?;
        let seen = dropped.as_ref().unwrap_or(x);
        match &adapter.magnitude {
            Some(magnitude) => self.directed(pass, x, seen, adapter, magnitude),
            None => pass.sum(&self.product(pass, x)?, &change(pass, seen, adapter)?),
        }
    }

    /// The product with DoRA, as PEFT has it: what is dropped is seen by the weight as it was.
    fn directed(&self, pass: &Pass, x: &Tensor, seen: &Tensor, adapter: &Adapter, magnitude: &Parameter) -> Result<Tensor> {
        let plain = Self { weight: self.weight.clone(), bias: None, adapter: None };
        let changed = pass.sum(&plain.product(pass, seen)?, &change(pass, seen, adapter)?)?;
        let lengths = row_lengths(&self.weight.tensor(x.device())?.detach(), adapter)?;
        let y = rescaled(pass, &changed, magnitude, &lengths, self.bias.as_ref())?;
        match seen.id() == x.id() {
            true => Ok(y),
            false => pass.sum(&y, &plain.product(pass, &pass.sum(x, &pass.scaled(seen, -1.0)?)?)?),
        }
    }

    fn product(&self, pass: &Pass, x: &Tensor) -> Result<Tensor> {
        if pass.backend().is_fused() {
            return pass.apply1(x, self.clone());
        }
        let y = pass.backend().product(x, &self.weight.tensor(x.device())?.t()?)?;
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}

/// What an adapter adds.
fn change(pass: &Pass, x: &Tensor, adapter: &Adapter) -> Result<Tensor> {
    let narrow = Linear::new(adapter.a.clone(), None).forward(pass, x)?;
    pass.scaled(&Linear::new(adapter.b.clone(), None).forward(pass, &narrow)?, adapter.scale)
}

impl CustomOp1 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, inputs) = (values(x, layout)?, self.weight.dims()[1]);
        let (rows, outputs) = (x.len() / inputs, self.weight.dims()[0]);
        let mut y = match &self.bias {
            Some(bias) => with_values(bias, |bias| bias.repeat(rows))?,
            None => vec![0.0; rows * outputs],
        };
        self.weight.multiply(&mut y, x, self.bias.is_some())?;
        Ok((CpuStorage::F32(y), Shape::from((rows, outputs))))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (grad, outputs, inputs) = (grad.contiguous()?, self.weight.dims()[0], self.weight.dims()[1]);
        let by_x = with_values(&grad, |grad| {
            with_values(x, |x| {
                if let Some(weight) = self.weight.parameter() {
                    weight.accumulate(|sum, add| matmul(sum, Matrix::new(grad, outputs).t(), Matrix::new(x, inputs), add, Threads::All));
                }
            })?;
            if let Some(bias) = &self.bias {
                bias.accumulate_columns(grad);
            }
            with_values(&self.weight.tensor(&Device::Cpu)?, |w| {
                let mut by_x = vec![0.0; x.elem_count()];
                matmul(&mut by_x, Matrix::new(grad, outputs), Matrix::new(w, inputs), false, Threads::All);
                by_x
            })
        })??;
        Ok(Some(Tensor::from_vec(by_x, x.shape(), x.device())?))
    }
}

/// Rows of a table by id.
#[derive(Debug, Clone)]
pub struct Embedding {
    /// `(V,C)`.
    pub weight: Weight,
}

impl Embedding {
    /// The rows of `ids`, `(N,C)`; `training` makes what follows record its gradient.
    ///
    /// # Errors
    /// For an id that is not below V.
    pub fn forward(&self, pass: &Pass, ids: &[u32], training: bool) -> Result<Tensor> {
        let (parameter, width) = match &self.weight {
            Weight::Full(parameter) => (parameter, parameter.dims()[1]),
            Weight::Packed(packed) => {
                let rows = dequantize_rows(packed, ids)?;
                let Some(rows) = rows else {
                    candle_core::bail!("a token id is outside of the vocabulary of {}", packed.shape().dims()[0])
                };
                let rows = Tensor::from_vec(rows, (ids.len(), packed.shape().dims()[1]), &Device::Cpu)?.to_device(&packed.device())?;
                pass.note(&[], &rows, |_| Ok(Vec::new()))?;
                return Ok(rows);
            }
        };
        let weight = if training { parameter.as_tensor().clone() } else { parameter.detached() };
        if pass.backend().is_fused() {
            let lookup = Lookup { ids: ids.to_vec(), width, weight: parameter.clone() };
            if !pass.is_recording() {
                return weight.apply_op1(lookup);
            }
            let rows = weight.apply_op1_no_bwd(&lookup)?;
            let output = rows.clone();
            pass.note(&[], &rows, move |grad| {
                lookup.bwd(&weight, &output, grad)?;
                Ok(Vec::new())
            })?;
            return Ok(rows);
        }
        weight.index_select(&Tensor::from_slice(ids, ids.len(), weight.device())?, 0)
    }
}

struct Lookup {
    ids: Vec<u32>,
    width: usize,
    weight: Parameter,
}

impl CustomOp1 for Lookup {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn cpu_fwd(&self, table: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (table, width) = (values(table, layout)?, self.width);
        let mut rows = Vec::with_capacity(self.ids.len() * width);
        for &id in &self.ids {
            match table.get(id as usize * width..(id as usize + 1) * width) {
                Some(row) => rows.extend_from_slice(row),
                None => candle_core::bail!("token id {id} is outside of the vocabulary of {}", self.weight.dims()[0]),
            }
        }
        Ok((CpuStorage::F32(rows), Shape::from((self.ids.len(), width))))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        with_values(&grad.contiguous()?, |grad| self.weight.accumulate_rows(&self.ids, grad))?;
        Ok(None)
    }
}
