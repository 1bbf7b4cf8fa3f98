//! A named weight with its gradient: what backward passes add to and optimizers read, `.grad` in PyTorch.
//!
//! On the CPU the layers add weight gradients here, in place, so that micro-batches
//! accumulate without another pass over memory; on other devices candle's own store is emptied into it.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{CpuStorage, DType, Device, InplaceOp1, Layout, Result, Storage, Tensor, TensorId, Var};
use compute::cpu::rows::column_sum;

/// A weight, trainable unless it was frozen. A clone is the same weight.
#[derive(Debug, Clone)]
pub struct Parameter {
    value: Var,
    gradient: Arc<Mutex<Slot>>,
    frozen: Arc<AtomicBool>,
}

/// A gradient, and memory that the last one left for the next.
#[derive(Debug, Default)]
struct Slot {
    gradient: Gradient,
    spare: Vec<f32>,
}

/// The gradient that has been added up since it was last taken.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Gradient {
    /// Nothing was added.
    #[default]
    Empty,
    /// One number for each of the weight's, row-major.
    Dense(Vec<f32>),
    /// Rows of an embedding by id; all others are zero.
    Rows(BTreeMap<u32, Vec<f32>>),
    /// On another device.
    OnDevice(Tensor),
}

impl Gradient {
    /// The gradient on a device, zero where nothing was added; `dims` are the weight's.
    pub(crate) fn tensor(&self, dims: &[usize], device: &Device) -> Result<Tensor> {
        match self {
            Self::OnDevice(tensor) => Ok(tensor.clone()),
            _ => Tensor::from_vec(self.flat(dims.iter().product(), dims[0])?, dims, device),
        }
    }

    /// The gradient as one flat array of `count` numbers in `height` rows.
    fn flat(&self, count: usize, height: usize) -> Result<Vec<f32>> {
        match self {
            Self::Empty => Ok(vec![0.0; count]),
            Self::Dense(values) => Ok(values.clone()),
            Self::Rows(rows) => {
                let width = count / height;
                let mut values = vec![0.0; count];
                for (id, row) in rows {
                    values[*id as usize * width..][..width].copy_from_slice(row);
                }
                Ok(values)
            }
            Self::OnDevice(tensor) => tensor.flatten_all()?.to_vec1(),
        }
    }
}

impl Parameter {
    /// A trainable parameter.
    pub fn new(value: Var) -> Self {
        Self { value, gradient: Arc::default(), frozen: Arc::default() }
    }

    /// A frozen parameter that shares the values, but has a gradient and a flag of its own: freezing it freezes no other.
    pub fn frozen_view(&self) -> Self {
        let view = Self::new(self.value.clone());
        view.set_frozen(true);
        view
    }

    /// A parameter with a copy of the values, frozen as this one is.
    ///
    /// # Errors
    /// When the device has no memory for the copy.
    pub fn deep_clone(&self) -> Result<Self> {
        let copy = Self::new(Var::from_tensor(&self.value.as_tensor().copy()?)?);
        copy.set_frozen(self.is_frozen());
        Ok(copy)
    }

    /// Whether training leaves the weight as it is.
    pub fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::Relaxed)
    }

    /// Freezes the weight, or makes it trainable again.
    pub fn set_frozen(&self, frozen: bool) {
        self.frozen.store(frozen, Ordering::Relaxed);
    }

    /// The weight as a tensor that operations may take without candle tracking it.
    pub fn detached(&self) -> Tensor {
        self.value.as_detached_tensor()
    }

    /// Takes the gradient away.
    pub fn take_gradient(&self) -> Gradient {
        std::mem::take(&mut self.lock().gradient)
    }

    /// Puts a gradient in place of what was added.
    pub fn put_back(&self, gradient: Gradient) {
        self.lock().gradient = gradient;
    }

    /// Gives the memory of a gradient that is no longer needed back, so that the next one need not ask for new.
    pub fn recycle(&self, gradient: Gradient) {
        if let Gradient::Dense(values) = gradient {
            self.lock().spare = values;
        }
    }

    /// Lets `change` rewrite the weight in place; on the CPU only.
    ///
    /// # Errors
    /// On another device than the CPU.
    pub fn update(&self, change: impl FnOnce(&mut [f32])) -> Result<()> {
        self.value.inplace_op1(&Change(Mutex::new(Some(change))))
    }

    /// The gradient as one flat array, zero where nothing was added.
    ///
    /// # Errors
    /// When the gradient cannot be brought from its device.
    pub fn gradient(&self) -> Result<Vec<f32>> {
        self.lock().gradient.flat(self.value.elem_count(), self.value.dims()[0])
    }

    /// Whether anything was added since the gradient was last taken.
    pub fn has_gradient(&self) -> bool {
        !matches!(self.lock().gradient, Gradient::Empty)
    }

    /// Lets `add` change the dense gradient; it is told whether values are there to add to, or rubbish to overwrite.
    pub(crate) fn accumulate(&self, add: impl FnOnce(&mut [f32], bool)) {
        if self.is_frozen() {
            return;
        }
        let mut slot = self.lock();
        let fresh = |spare: Vec<f32>| match spare.len() == self.value.elem_count() {
            true => spare,
            false => vec![0.0; self.value.elem_count()],
        };
        match std::mem::take(&mut slot.gradient) {
            Gradient::Dense(mut values) => {
                add(&mut values, true);
                slot.gradient = Gradient::Dense(values);
            }
            // Tied weights: the embedding was here first.
            Gradient::Rows(rows) => {
                let mut values = fresh(std::mem::take(&mut slot.spare));
                values.fill(0.0);
                let width = values.len() / self.value.dims()[0];
                rows.iter().for_each(|(id, row)| values[*id as usize * width..][..width].copy_from_slice(row));
                add(&mut values, true);
                slot.gradient = Gradient::Dense(values);
            }
            _ => {
                let mut values = fresh(std::mem::take(&mut slot.spare));
                add(&mut values, false);
                slot.gradient = Gradient::Dense(values);
            }
        }
    }

    /// Adds the sum of rows to the dense gradient of a vector that was added to each of them.
    pub(crate) fn accumulate_columns(&self, grads: &[f32]) {
        self.accumulate(|sum, add| {
            let own = column_sum(grads, sum.len());
            sum.iter_mut().zip(own).for_each(|(sum, own)| *sum = if add { *sum + own } else { own });
        });
    }

    /// Adds to rows of the gradient: `grads` has one row an id.
    pub(crate) fn accumulate_rows(&self, ids: &[u32], grads: &[f32]) {
        if self.is_frozen() {
            return;
        }
        let width = grads.len() / ids.len().max(1);
        let mut slot = self.lock();
        if matches!(slot.gradient, Gradient::Empty) {
            slot.gradient = Gradient::Rows(BTreeMap::new());
        }
        for (id, grad) in ids.iter().zip(grads.chunks_exact(width.max(1))) {
            let row = match &mut slot.gradient {
                Gradient::Dense(values) => &mut values[*id as usize * width..][..width],
                Gradient::Rows(rows) => rows.entry(*id).or_insert_with(|| vec![0.0; width]),
                Gradient::Empty | Gradient::OnDevice(_) => return,
            };
            row.iter_mut().zip(grad).for_each(|(row, grad)| *row += grad);
        }
    }

    /// Adds a gradient of candle's store.
    pub(crate) fn accumulate_tensor(&self, grad: &Tensor) -> Result<()> {
        if self.is_frozen() {
            return Ok(());
        }
        if grad.device().is_cpu() {
            let grad = grad.flatten_all()?.to_vec1::<f32>()?;
            self.accumulate(|sum, add| match add {
                true => sum.iter_mut().zip(&grad).for_each(|(sum, grad)| *sum += grad),
                false => sum.copy_from_slice(&grad),
            });
            return Ok(());
        }
        let mut slot = self.lock();
        slot.gradient = match &slot.gradient {
            Gradient::OnDevice(sum) => Gradient::OnDevice((sum + grad)?),
            _ => Gradient::OnDevice(grad.clone()),
        };
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.gradient.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deref for Parameter {
    type Target = Var;

    fn deref(&self) -> &Var {
        &self.value
    }
}

/// Makes candle's next tensors have larger ids than these parameters. candle's graph finds a gradient by its tensor's id, and
/// the stock kernel links each cell with a counter of its own, so that a weight of an earlier cell could share the id of a new one.
pub(crate) fn pass_ids<'a>(parameters: impl Iterator<Item = &'a Parameter>) -> Result<()> {
    let highest = parameters.map(|parameter| number(parameter.value.id())).max().unwrap_or(0);
    while (1..=highest).contains(&number(Tensor::zeros(1, DType::U8, &Device::Cpu)?.id())) {}
    Ok(())
}

/// The number that an id is, which candle gives to hashers alone.
fn number(id: TensorId) -> usize {
    struct Number(usize);
    impl Hasher for Number {
        fn finish(&self) -> u64 {
            self.0 as u64
        }
        fn write(&mut self, _: &[u8]) {}
        fn write_usize(&mut self, number: usize) {
            self.0 = number;
        }
    }
    let mut taken = Number(0);
    id.hash(&mut taken);
    taken.0
}

/// A change of values in place, once.
struct Change<F>(Mutex<Option<F>>);

impl<F: FnOnce(&mut [f32])> InplaceOp1 for Change<F> {
    fn name(&self) -> &'static str {
        "update"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let (CpuStorage::F32(values), Some((start, end))) = (storage, layout.contiguous_offsets()) else {
            candle_core::bail!("a weight is updated in place only as contiguous f32");
        };
        if let Some(change) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            change(&mut values[start..end]);
        }
        Ok(())
    }
}

/// Lets `read` see the f32 values of a contiguous tensor in CPU memory.
pub(crate) fn with_values<T>(tensor: &Tensor, read: impl FnOnce(&[f32]) -> T) -> Result<T> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => Ok(read(values(storage, layout)?)),
        _ => candle_core::bail!("this operation runs on the CPU only"),
    }
}

/// The f32 values of a contiguous tensor in CPU memory.
pub(crate) fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => candle_core::bail!("this operation needs a contiguous tensor"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_tensors_have_larger_ids_than_the_parameters() {
        let parameter = Parameter::new(Var::zeros(2, DType::F32, &Device::Cpu).unwrap());
        let before = number(parameter.value.id());
        assert!(before > 0, "the number of an id is read");
        pass_ids([&parameter].into_iter()).unwrap();
        let new = Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap();
        assert!(number(new.id()) > before && number(new.id()) != number(parameter.detached().id()));
    }
}
