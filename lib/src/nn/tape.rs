//! A forward pass → the gradient of its leaf: [`Pass`] is handed to every layer, [`Segment`] is a part of it that is walked back.
//!
//! On the CPU the fused operations are noted one by one and walked back in reverse: a gradient is handed on as it is, and memory is
//! given back step by step. candle's own backward pass, which other devices use, begins every gradient with zeros and adds to them.

use std::cell::{Cell, RefCell};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, TensorId, Var};
use rayon::prelude::*;

use crate::nn::backend::Backend;
use crate::nn::parameter::values;

/// From the gradient of an output to those of the inputs.
type Backward = Box<dyn Fn(&Tensor) -> Result<Vec<Option<Tensor>>>>;

/// Numbers that one task adds.
const SPAN: usize = 1 << 15;

/// One way through some layers: how their operations compute, and what is noted of them on the way.
#[non_exhaustive]
pub struct Pass {
    backend: Backend,
    /// None where candle's graph alone knows the gradients, or nobody asks for any.
    tape: Option<RefCell<Tape>>,
    seed: Cell<Option<u64>>,
}

struct Tape {
    /// The leaf and all outputs.
    known: HashSet<TensorId>,
    steps: Vec<Step>,
}

struct Step {
    inputs: Vec<TensorId>,
    output: TensorId,
    backward: Backward,
}

impl Pass {
    /// A pass of which nothing is noted.
    pub fn new(backend: Backend) -> Self {
        Self { backend, tape: None, seed: Cell::default() }
    }

    fn recording(backend: Backend, leaf: Option<&Tensor>) -> Self {
        let tape = || RefCell::new(Tape { known: leaf.iter().map(|leaf| leaf.id()).collect(), steps: Vec::new() });
        Self { backend, tape: backend.is_fused().then(tape), seed: Cell::default() }
    }

    /// How operations compute.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Names the random numbers of what is dropped; none outside of training.
    pub fn seed(&self) -> Option<u64> {
        self.seed.get()
    }

    /// Sets [`Pass::seed`].
    pub(crate) fn set_seed(&self, seed: Option<u64>) {
        self.seed.set(seed);
    }

    /// Whether operations are noted.
    pub fn is_recording(&self) -> bool {
        self.tape.is_some()
    }

    /// Notes how the gradient of `output` becomes those of the inputs.
    ///
    /// # Errors
    /// For an input that nothing noted has made: it would lose its gradient in silence.
    pub fn note(
        &self,
        inputs: &[&Tensor],
        output: &Tensor,
        backward: impl Fn(&Tensor) -> Result<Vec<Option<Tensor>>> + 'static,
    ) -> Result<()> {
        let Some(mut tape) = self.tape.as_ref().map(RefCell::borrow_mut) else { return Ok(()) };
        let inputs: Vec<TensorId> = inputs.iter().map(|input| input.id()).collect();
        if inputs.iter().any(|input| !tape.known.contains(input)) {
            candle_core::bail!("an operation of the model has no backward pass: the input of a later one was made by none that is noted");
        }
        tape.known.insert(output.id());
        tape.steps.push(Step { inputs, output: output.id(), backward: Box::new(backward) });
        Ok(())
    }

    /// `op(x)`, with its gradient.
    pub(crate) fn apply1<O: CustomOp1 + Send + Sync + 'static>(&self, x: &Tensor, op: O) -> Result<Tensor> {
        if !self.is_recording() {
            return x.contiguous()?.apply_op1(op);
        }
        let y = x.apply_op1_no_bwd(&op)?;
        let (input, output) = (x.clone(), y.clone());
        self.note(&[x], &y, move |grad| Ok(vec![op.bwd(&input, &output, grad)?]))?;
        Ok(y)
    }

    /// `op(a, b)`, with its gradients.
    pub(crate) fn apply2<O: CustomOp2 + Send + Sync + 'static>(&self, a: &Tensor, b: &Tensor, op: O) -> Result<Tensor> {
        if !self.is_recording() {
            return a.contiguous()?.apply_op2(&b.contiguous()?, op);
        }
        let y = a.apply_op2_no_bwd(b, &op)?;
        let (first, second, output) = (a.clone(), b.clone(), y.clone());
        self.note(&[a, b], &y, move |grad| {
            let (by_first, by_second) = op.bwd(&first, &second, &output, grad)?;
            Ok(vec![by_first, by_second])
        })?;
        Ok(y)
    }

    /// `a + b`, of equal shapes.
    pub(crate) fn sum(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        if self.backend.is_fused() { self.apply2(a, b, Sum) } else { a + b }
    }

    /// `factor · x`.
    pub(crate) fn scaled(&self, x: &Tensor, factor: f64) -> Result<Tensor> {
        let y = (x * factor)?;
        self.note(&[x], &y, move |grad| Ok(vec![Some((grad * factor)?)]))?;
        Ok(y)
    }

    /// `x + constant`.
    pub(crate) fn shifted(&self, x: &Tensor, constant: &Tensor) -> Result<Tensor> {
        let y = (x + constant)?;
        self.note(&[x], &y, |grad| Ok(vec![Some(grad.clone())]))?;
        Ok(y)
    }

    /// The same numbers in another shape.
    pub(crate) fn reshaped(&self, x: &Tensor, shape: impl Into<Shape>) -> Result<Tensor> {
        let (y, old) = (x.reshape(shape.into())?, x.shape().clone());
        self.note(&[x], &y, move |grad| Ok(vec![Some(grad.reshape(&old)?)]))?;
        Ok(y)
    }

    /// Columns of `(N,C)` from `start` on.
    pub(crate) fn columns(&self, x: &Tensor, start: usize, count: usize) -> Result<Tensor> {
        let (y, rest) = (x.narrow(1, start, count)?.contiguous()?, x.dim(1)? - start - count);
        self.note(&[x], &y, move |grad| Ok(vec![Some(grad.pad_with_zeros(1, start, rest)?)]))?;
        Ok(y)
    }

    /// Columns of all parts, one after the other.
    pub(crate) fn joined(&self, parts: &[&Tensor]) -> Result<Tensor> {
        let y = Tensor::cat(parts, 1)?;
        let widths = parts.iter().map(|part| part.dim(1)).collect::<Result<Vec<usize>>>()?;
        self.note(parts, &y, move |grad| {
            let mut start = 0;
            let own = |width: &usize| {
                let own = grad.narrow(1, start, *width)?.contiguous()?;
                start += width;
                Ok(Some(own))
            };
            widths.iter().map(own).collect()
        })?;
        Ok(y)
    }
}

/// A part of a forward pass that can be walked back once.
pub struct Segment {
    leaf: Option<Tensor>,
    output: Tensor,
    pass: Pass,
}

impl Segment {
    /// Runs `work` on a leaf with the values of `x`.
    ///
    /// # Errors
    /// What `work` says.
    pub fn of(backend: Backend, x: &Tensor, work: impl FnOnce(&Pass, &Tensor) -> Result<Tensor>) -> Result<Self> {
        let x = x.detach();
        let leaf = if backend.is_fused() { x } else { Var::from_tensor(&x)?.as_tensor().clone() };
        let pass = Pass::recording(backend, Some(&leaf));
        Ok(Self { output: work(&pass, &leaf)?, leaf: Some(leaf), pass })
    }

    /// Runs `work`, which begins with parameters alone.
    ///
    /// # Errors
    /// What `work` says.
    pub fn start(backend: Backend, work: impl FnOnce(&Pass) -> Result<Tensor>) -> Result<Self> {
        let pass = Pass::recording(backend, None);
        Ok(Self { output: work(&pass)?, leaf: None, pass })
    }

    /// What `work` gave.
    pub fn output(&self) -> &Tensor {
        &self.output
    }

    /// The pass that was recorded.
    pub fn pass(&self) -> &Pass {
        &self.pass
    }

    /// From the gradient of the output to that of the leaf, which is none where there is no leaf or no way to it. The parameters'
    /// own are added by the fused operations; what candle's graph finds of them goes to `found`.
    ///
    /// # Errors
    /// candle's, and what `found` says.
    pub fn back(self, grad: &Tensor, found: impl FnOnce(&GradStore) -> Result<()>) -> Result<Option<Tensor>> {
        match self.pass.tape {
            Some(tape) => tape.into_inner().back(self.output.id(), grad, self.leaf.as_ref()),
            None => {
                // candle leaves a gradient tied to the weights that made it: walked back again, they would get a second one.
                let through = (&self.output * grad.detach())?.sum_all()?;
                back_from(self.leaf, &through, found)
            }
        }
    }

    /// The same from a number that candle's graph made of the output.
    ///
    /// # Errors
    /// candle's, and what `found` says.
    pub fn back_from(self, loss: &Tensor, found: impl FnOnce(&GradStore) -> Result<()>) -> Result<Option<Tensor>> {
        back_from(self.leaf, loss, found)
    }
}

fn back_from(leaf: Option<Tensor>, loss: &Tensor, found: impl FnOnce(&GradStore) -> Result<()>) -> Result<Option<Tensor>> {
    let store = loss.backward()?;
    found(&store)?;
    Ok(leaf.and_then(|leaf| store.get(&leaf).cloned()))
}

impl Tape {
    fn back(mut self, output: TensorId, grad: &Tensor, leaf: Option<&Tensor>) -> Result<Option<Tensor>> {
        let mut grads = HashMap::from([(output, grad.clone())]);
        while let Some(step) = self.steps.pop() {
            let Some(grad) = grads.remove(&step.output) else { continue };
            for (input, grad) in step.inputs.iter().zip((step.backward)(&grad)?) {
                let Some(grad) = grad else { continue };
                match grads.entry(*input) {
                    Entry::Vacant(place) => drop(place.insert(grad)),
                    Entry::Occupied(mut place) => {
                        let both = place.get().apply_op2_no_bwd(&grad, &Sum)?;
                        place.insert(both);
                    }
                }
            }
        }
        Ok(leaf.and_then(|leaf| grads.remove(&leaf.id())))
    }
}

struct Sum;

impl CustomOp2 for Sum {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn cpu_fwd(&self, a: &CpuStorage, la: &Layout, b: &CpuStorage, lb: &Layout) -> Result<(CpuStorage, Shape)> {
        let (a, b) = (values(a, la)?, values(b, lb)?);
        let out = match a.len() {
            ..=SPAN => a.iter().zip(b).map(|(a, b)| a + b).collect(),
            _ => a.par_iter().with_min_len(SPAN).zip(b).map(|(a, b)| a + b).collect(),
        };
        Ok((CpuStorage::F32(out), la.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((Some(grad.clone()), Some(grad.clone())))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    fn ones() -> Tensor {
        Tensor::ones((2, 3), DType::F32, &Device::Cpu).unwrap()
    }

    #[test]
    fn the_gradients_of_all_uses_are_added() {
        let work = |pass: &Pass, x: &Tensor| {
            let twice = pass.sum(x, x)?;
            let moved = pass.joined(&[&pass.columns(&twice, 1, 2)?, &pass.columns(&twice, 0, 1)?])?;
            pass.scaled(&pass.reshaped(&pass.shifted(&moved, &ones())?, (3, 2))?, 3.0)
        };
        let segment = Segment::of(Backend::fused(), &ones(), work).unwrap();
        let grad = Tensor::new(&[[1f32, 2.0], [3.0, 4.0], [5.0, 6.0]], &Device::Cpu).unwrap();
        let found = segment.back(&grad, |_| Ok(())).unwrap().unwrap().to_vec2::<f32>().unwrap();
        // Six times the gradient, its columns moved back.
        assert_eq!(found, [[18.0, 6.0, 12.0], [36.0, 24.0, 30.0]]);
    }

    #[test]
    fn an_operation_that_nobody_noted_is_an_error() {
        let error = Segment::of(Backend::fused(), &ones(), |pass, x| pass.sum(&x.exp()?, x)).err().unwrap().to_string();
        assert!(error.contains("no backward pass"), "{error}");
    }
}
