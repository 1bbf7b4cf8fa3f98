//! Weights after backward passes → their gradients, taken once: the norm, what is not finite, what an update reads.

use rayon::prelude::*;

use crate::error::Result;
use crate::nn::parameter::{Gradient, Parameter};
use compute::cpu::update::CHUNK;

/// The gradients of some weights, one for each and in their order.
#[derive(Debug)]
pub struct Gradients(Vec<Gradient>);

impl Gradients {
    /// Takes the gradients that backward passes have added up; the weights have none afterwards.
    pub fn take(weights: &[(String, Parameter)]) -> Self {
        Self(weights.iter().map(|(_, parameter)| parameter.take_gradient()).collect())
    }

    /// The norm of all together, in a fixed order: the root of the sum of squares, as `clip_grad_norm_` returns it.
    ///
    /// # Errors
    /// When a device fails.
    pub fn norm(&self) -> Result<f64> {
        let chunk = |values: &[f32]| compute::cpu::rows::squares(values);
        let squares = |gradient: &Gradient| -> Result<f64> {
            Ok(match gradient {
                Gradient::Empty => 0.0,
                Gradient::Dense(values) => values.par_chunks(CHUNK).map(chunk).collect::<Vec<f64>>().iter().sum(),
                Gradient::Rows(rows) => rows.values().map(|row| chunk(row)).sum(),
                Gradient::OnDevice(tensor) => f64::from(tensor.sqr()?.sum_all()?.to_scalar::<f32>()?),
            })
        };
        let mut total = 0f64;
        for gradient in &self.0 {
            total += squares(gradient)?;
        }
        Ok(total.sqrt())
    }

    /// The names of the weights whose gradients are not finite; those on another device are not looked at.
    pub fn not_finite<'a>(&self, weights: &'a [(String, Parameter)]) -> Vec<&'a str> {
        let bad = |gradient: &Gradient| match gradient {
            Gradient::Dense(values) => !is_finite(values),
            Gradient::Rows(rows) => rows.values().any(|row| !is_finite(row)),
            Gradient::Empty | Gradient::OnDevice(_) => false,
        };
        weights.iter().zip(&self.0).filter(|(_, gradient)| bad(gradient)).map(|((name, _), _)| name.as_str()).collect()
    }

    /// Gives their memory back to the weights, so that the next gradients need not ask for new.
    pub fn recycle(self, weights: &[(String, Parameter)]) {
        weights.iter().zip(self.0).for_each(|((_, parameter), gradient)| parameter.recycle(gradient));
    }

    /// One by one, in the order of the weights.
    pub(super) fn into_each(self) -> impl Iterator<Item = Gradient> {
        self.0.into_iter()
    }
}

/// Whether all numbers are finite.
pub fn is_finite(values: &[f32]) -> bool {
    const EXPONENT: u32 = 0x7f80_0000;
    let part = |values: &[f32]| !values.iter().fold(false, |bad, value| bad | (value.to_bits() & EXPONENT == EXPONENT));
    values.par_chunks(CHUNK).map(part).reduce(|| true, |a, b| a & b)
}
