//! A stretch of a forward pass → the gradient of its leaf.
//!
//! On the CPU the fused operations are noted one by one and walked back in reverse: a gradient is handed on as it is, and memory is
//! given back step by step. candle's own backward pass, which other devices use, begins every gradient with zeros and adds to them.

use std::cell::RefCell;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Device, Layout, Shape, Tensor, TensorId, Var};
use rayon::prelude::*;

use crate::nn::backend::is_fused;
use crate::nn::parameter::values;

type Answer<T> = candle_core::Result<T>;
/// From the gradient of an output to those of the inputs.
type Slope = Box<dyn Fn(&Tensor) -> Answer<Vec<Option<Tensor>>>>;

/// Numbers that one task adds.
const SPAN: usize = 1 << 15;

struct Step {
    inputs: Vec<TensorId>,
    output: TensorId,
    slope: Slope,
}

struct Tape {
    /// The leaf and all outputs.
    known: HashSet<TensorId>,
    steps: Vec<Step>,
}

thread_local! {
    static TAPE: RefCell<Option<Tape>> = const { RefCell::new(None) };
}

/// A stretch of a forward pass that can be walked back once.
pub struct Recording {
    leaf: Option<Tensor>,
    output: Tensor,
    /// What was noted; without it candle's graph knows.
    tape: Option<Tape>,
}

impl Recording {
    /// Runs `work` on a leaf with the values of `x`.
    pub fn of(x: &Tensor, work: impl FnOnce(&Tensor) -> Answer<Tensor>) -> Answer<Self> {
        let x = x.detach();
        let leaf = if is_fused(x.device()) { x } else { Var::from_tensor(&x)?.as_tensor().clone() };
        Self::record(leaf.device(), Some(leaf.clone()), || work(&leaf))
    }

    /// Runs `work`, which begins with parameters alone.
    pub fn start(device: &Device, work: impl FnOnce() -> Answer<Tensor>) -> Answer<Self> {
        Self::record(device, None, work)
    }

    fn record(device: &Device, leaf: Option<Tensor>, work: impl FnOnce() -> Answer<Tensor>) -> Answer<Self> {
        /// Ends the noting, even if `work` panics.
        struct End;
        impl Drop for End {
            fn drop(&mut self) {
                TAPE.take();
            }
        }
        if !is_fused(device) {
            return Ok(Self { leaf, output: work()?, tape: None });
        }
        let end = End;
        TAPE.set(Some(Tape { known: leaf.iter().map(Tensor::id).collect(), steps: Vec::new() }));
        let output = work()?;
        let tape = TAPE.take();
        drop(end);
        Ok(Self { leaf, output, tape })
    }

    /// What `work` gave.
    pub fn output(&self) -> &Tensor {
        &self.output
    }

    /// From the gradient of the output to that of the leaf, which is none where there is no leaf or no way to it. The parameters'
    /// own are added by the fused operations; what candle's graph finds of them goes to `found`.
    pub fn back(self, slope: &Tensor, found: impl FnOnce(&GradStore) -> Answer<()>) -> Answer<Option<Tensor>> {
        match self.tape {
            Some(tape) => tape.back(self.output.id(), slope, self.leaf.as_ref()),
            None => {
                let through = (&self.output * slope)?.sum_all()?;
                Self { tape: None, ..self }.back_from(&through, found)
            }
        }
    }

    /// The same from a number that candle's graph made of the output.
    pub fn back_from(self, loss: &Tensor, found: impl FnOnce(&GradStore) -> Answer<()>) -> Answer<Option<Tensor>> {
        let store = loss.backward()?;
        found(&store)?;
        Ok(self.leaf.and_then(|leaf| store.get(&leaf).cloned()))
    }
}

impl Tape {
    fn back(mut self, output: TensorId, slope: &Tensor, leaf: Option<&Tensor>) -> Answer<Option<Tensor>> {
        let mut slopes = HashMap::from([(output, slope.clone())]);
        while let Some(step) = self.steps.pop() {
            let Some(slope) = slopes.remove(&step.output) else { continue };
            for (input, slope) in step.inputs.iter().zip((step.slope)(&slope)?) {
                let Some(slope) = slope else { continue };
                match slopes.entry(*input) {
                    Entry::Vacant(place) => drop(place.insert(slope)),
                    Entry::Occupied(mut place) => {
                        let both = place.get().apply_op2_no_bwd(&slope, &Sum)?;
                        place.insert(both);
                    }
                }
            }
        }
        Ok(leaf.and_then(|leaf| slopes.remove(&leaf.id())))
    }
}

/// Whether operations are being noted on this thread.
pub fn is_recording() -> bool {
    TAPE.with_borrow(Option::is_some)
}

/// Notes how the gradient of `output` becomes those of the inputs. An input that nothing noted has made would lose its gradient in
/// silence: it is an error.
pub fn note(inputs: &[&Tensor], output: &Tensor, slope: impl Fn(&Tensor) -> Answer<Vec<Option<Tensor>>> + 'static) -> Answer<()> {
    TAPE.with_borrow_mut(|tape| {
        let Some(tape) = tape else { return Ok(()) };
        let inputs: Vec<TensorId> = inputs.iter().map(|input| input.id()).collect();
        if inputs.iter().any(|input| !tape.known.contains(input)) {
            candle_core::bail!("an operation of the model has no backward pass: the input of a later one was made by none that is noted");
        }
        tape.known.insert(output.id());
        tape.steps.push(Step { inputs, output: output.id(), slope: Box::new(slope) });
        Ok(())
    })
}

/// `op(x)`, with its gradient.
pub fn apply1<O: CustomOp1 + Send + Sync + 'static>(x: &Tensor, op: O) -> Answer<Tensor> {
    if !is_recording() {
        return x.contiguous()?.apply_op1(op);
    }
    let y = x.apply_op1_no_bwd(&op)?;
    let (input, output) = (x.clone(), y.clone());
    note(&[x], &y, move |slope| Ok(vec![op.bwd(&input, &output, slope)?]))?;
    Ok(y)
}

/// `op(a, b)`, with its gradients.
pub fn apply2<O: CustomOp2 + Send + Sync + 'static>(a: &Tensor, b: &Tensor, op: O) -> Answer<Tensor> {
    if !is_recording() {
        return a.contiguous()?.apply_op2(&b.contiguous()?, op);
    }
    let y = a.apply_op2_no_bwd(b, &op)?;
    let (first, second, output) = (a.clone(), b.clone(), y.clone());
    note(&[a, b], &y, move |slope| {
        let (by_first, by_second) = op.bwd(&first, &second, &output, slope)?;
        Ok(vec![by_first, by_second])
    })?;
    Ok(y)
}

/// `a + b`, of equal shapes.
pub fn sum(a: &Tensor, b: &Tensor) -> Answer<Tensor> {
    if is_fused(a.device()) { apply2(a, b, Sum) } else { a + b }
}

struct Sum;

impl CustomOp2 for Sum {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn cpu_fwd(&self, a: &CpuStorage, la: &Layout, b: &CpuStorage, lb: &Layout) -> Answer<(CpuStorage, Shape)> {
        let (a, b) = (values(a, la)?, values(b, lb)?);
        let out = match a.len() {
            ..=SPAN => a.iter().zip(b).map(|(a, b)| a + b).collect(),
            _ => a.par_iter().with_min_len(SPAN).zip(b).map(|(a, b)| a + b).collect(),
        };
        Ok((CpuStorage::F32(out), la.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor, slope: &Tensor) -> Answer<(Option<Tensor>, Option<Tensor>)> {
        Ok((Some(slope.clone()), Some(slope.clone())))
    }
}

/// `factor · x`.
pub fn scaled(x: &Tensor, factor: f64) -> Answer<Tensor> {
    let y = (x * factor)?;
    note(&[x], &y, move |slope| Ok(vec![Some((slope * factor)?)]))?;
    Ok(y)
}

/// `x + constant`.
pub fn shifted(x: &Tensor, constant: &Tensor) -> Answer<Tensor> {
    let y = (x + constant)?;
    note(&[x], &y, |slope| Ok(vec![Some(slope.clone())]))?;
    Ok(y)
}

/// The same numbers in another shape.
pub fn reshaped(x: &Tensor, shape: impl Into<Shape>) -> Answer<Tensor> {
    let (y, old) = (x.reshape(shape.into())?, x.shape().clone());
    note(&[x], &y, move |slope| Ok(vec![Some(slope.reshape(&old)?)]))?;
    Ok(y)
}

/// Columns of `(N,C)` from `start` on.
pub fn columns(x: &Tensor, start: usize, count: usize) -> Answer<Tensor> {
    let (y, rest) = (x.narrow(1, start, count)?.contiguous()?, x.dim(1)? - start - count);
    note(&[x], &y, move |slope| Ok(vec![Some(slope.pad_with_zeros(1, start, rest)?)]))?;
    Ok(y)
}

/// Columns of all parts, one after the other.
pub fn joined(parts: &[&Tensor]) -> Answer<Tensor> {
    let y = Tensor::cat(parts, 1)?;
    let widths = parts.iter().map(|part| part.dim(1)).collect::<Answer<Vec<usize>>>()?;
    note(parts, &y, move |slope| {
        let mut start = 0;
        let own = |width: &usize| {
            let own = slope.narrow(1, start, *width)?.contiguous()?;
            start += width;
            Ok(Some(own))
        };
        widths.iter().map(own).collect()
    })?;
    Ok(y)
}

#[cfg(test)]
mod tests {
    use candle_core::DType;

    use super::*;

    fn ones() -> Tensor {
        Tensor::ones((2, 3), DType::F32, &Device::Cpu).unwrap()
    }

    #[test]
    fn the_gradients_of_all_uses_are_added() {
        let work = |x: &Tensor| {
            let twice = sum(x, x)?;
            let moved = joined(&[&columns(&twice, 1, 2)?, &columns(&twice, 0, 1)?])?;
            scaled(&reshaped(&shifted(&moved, &ones())?, (3, 2))?, 3.0)
        };
        let recording = Recording::of(&ones(), work).unwrap();
        let slope = Tensor::new(&[[1f32, 2.0], [3.0, 4.0], [5.0, 6.0]], &Device::Cpu).unwrap();
        let found = recording.back(&slope, |_| Ok(())).unwrap().unwrap().to_vec2::<f32>().unwrap();
        // Six times the slope, its columns moved back.
        assert_eq!(found, [[18.0, 6.0, 12.0], [36.0, 24.0, 30.0]]);
    }

    #[test]
    fn an_operation_that_nobody_noted_is_an_error() {
        let error = Recording::of(&ones(), |x| sum(&x.exp()?, x)).err().unwrap().to_string();
        assert!(error.contains("no backward pass"), "{error}");
        assert!(!is_recording(), "what follows is not noted");
    }
}
