//! (weights, gradients, learning rate) → new weights: AdamW and Adafactor with state that can be read, saved and loaded.

use std::collections::HashMap;

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use crate::error::{Error, ErrorKind, Result};
use crate::model::simd::vectorised;
use crate::model::weights::Weights;
use crate::train::arguments::Optim;

const CHUNK: usize = 16 * 1024;

/// An optimizer over named weights; its state is kept in f32 in host memory.
#[derive(Debug, Clone)]
pub struct Optimizer {
    kind: Optim,
    weight_decay: f64,
    step: u64,
    /// Per parameter: AdamW `[mean, square]`; Adafactor `[rows, columns]` of a matrix or `[square]` of a vector.
    state: Vec<Vec<Vec<f32>>>,
}

impl Optimizer {
    /// A fresh optimizer for these weights.
    pub fn new(kind: Optim, weight_decay: f64, weights: &Weights) -> Self {
        let empty = |(_, var): &(String, candle_core::Var)| {
            let (dims, count) = (var.dims(), var.elem_count());
            match (kind, dims.len()) {
                (Optim::AdamW, _) => vec![vec![0.0; count]; 2],
                (Optim::Adafactor, 2) => vec![vec![0.0; dims[0]], vec![0.0; dims[1]]],
                (Optim::Adafactor, _) => vec![vec![0.0; count]],
            }
        };
        Self { kind, weight_decay, step: 0, state: weights.iter().map(empty).collect() }
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.step
    }

    /// One step: `gradients` has one flat array a parameter, in the order of the weights.
    pub fn step(&mut self, weights: &Weights, gradients: &[Vec<f32>], learning_rate: f64) -> Result<()> {
        self.step += 1;
        for (((_, var), gradient), state) in weights.iter().zip(gradients).zip(&mut self.state) {
            let dims = var.dims();
            let mut values = var.as_tensor().flatten_all()?.to_vec1::<f32>()?;
            match self.kind {
                Optim::AdamW => {
                    let decay = if dims.len() > 1 { self.weight_decay } else { 0.0 };
                    adamw(&mut values, gradient, state, self.step, learning_rate, decay);
                }
                Optim::Adafactor => adafactor(&mut values, gradient, state, dims, self.step, learning_rate),
            }
            var.set(&Tensor::from_vec(values, dims, var.device())?)?;
        }
        Ok(())
    }

    /// The state as named tensors, for a checkpoint.
    pub fn tensors(&self, weights: &Weights) -> Result<HashMap<String, Tensor>> {
        let mut tensors = HashMap::from([("step".to_string(), Tensor::new(self.step as i64, &Device::Cpu)?)]);
        for ((name, _), state) in weights.iter().zip(&self.state) {
            for (index, values) in state.iter().enumerate() {
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
            for (index, values) in state.iter_mut().enumerate() {
                let name = format!("{name}.{index}");
                let tensor = tensors.get(&name).filter(|tensor| tensor.elem_count() == values.len()).ok_or_else(|| missing(&name))?;
                *values = tensor.flatten_all()?.to_vec1()?;
            }
        }
        self.step = tensors.get("step").ok_or_else(|| missing("step"))?.to_scalar::<i64>()? as u64;
        self.state = state;
        Ok(())
    }
}

/// `torch.optim.AdamW` with its defaults: betas 0.9 and 0.999, eps 1e-8.
fn adamw(values: &mut [f32], gradient: &[f32], state: &mut [Vec<f32>], step: u64, learning_rate: f64, weight_decay: f64) {
    vectorised! {
        fn part(values: &mut [f32], gradient: &[f32], mean: &mut [f32], square: &mut [f32], step_size: f32, root: f32, keep: f32) {
            for (((value, g), m), v) in values.iter_mut().zip(gradient).zip(mean).zip(square) {
                *m += (g - *m) * (1.0 - 0.9);
                *v = *v * 0.999 + g * g * (1.0 - 0.999);
                *value = *value * keep - step_size * *m / (v.sqrt() / root + 1e-8);
            }
        }
    }
    let bias = (1.0 - 0.9f64.powi(step as i32), 1.0 - 0.999f64.powi(step as i32));
    let (step_size, root) = ((learning_rate / bias.0) as f32, bias.1.sqrt() as f32);
    let keep = (1.0 - learning_rate * weight_decay) as f32;
    let [mean, square] = state else { unreachable!("AdamW keeps two arrays a parameter") };
    let moments = mean.par_chunks_mut(CHUNK).zip(square.par_chunks_mut(CHUNK));
    values.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK)).zip(moments).for_each(|((values, gradient), (mean, square))| {
        part(values, gradient, mean, square, step_size, root, keep);
    });
}

/// `transformers.optimization.Adafactor` with `scale_parameter=False`, `relative_step=False` and its other defaults:
/// clip threshold 1, decay rate −0.8, eps 1e-30, no first moment, no weight decay.
fn adafactor(values: &mut [f32], gradient: &[f32], state: &mut [Vec<f32>], dims: &[usize], step: u64, learning_rate: f64) {
    const EPSILON: f32 = 1e-30;
    let beta = (1.0 - (step as f64).powf(-0.8)) as f32;
    let mut update: Vec<f32> = match state {
        [square] => {
            for (v, g) in square.iter_mut().zip(gradient) {
                *v = beta * *v + (1.0 - beta) * (g * g + EPSILON);
            }
            gradient.iter().zip(square.iter()).map(|(g, v)| g / v.sqrt()).collect()
        }
        [rows, columns] => factored(gradient, rows, columns, dims[1], beta, EPSILON),
        _ => unreachable!("Adafactor keeps one or two arrays a parameter"),
    };
    let squares: f64 = update
        .par_chunks(CHUNK)
        .map(|part| part.iter().map(|u| f64::from(*u) * f64::from(*u)).sum::<f64>())
        .collect::<Vec<_>>()
        .iter()
        .sum();
    let scale = (learning_rate / (squares / update.len() as f64).sqrt().max(1.0)) as f32;
    update.par_chunks_mut(CHUNK).zip(values.par_chunks_mut(CHUNK)).for_each(|(update, values)| {
        for (value, u) in values.iter_mut().zip(update) {
            *value -= scale * *u;
        }
    });
}

/// The update of a matrix from the running means of its squared gradient over rows and over columns.
fn factored(gradient: &[f32], rows: &mut [f32], columns: &mut [f32], width: usize, beta: f32, epsilon: f32) -> Vec<f32> {
    let mut column_sums = vec![0f64; width];
    for (row, g) in rows.iter_mut().zip(gradient.chunks_exact(width)) {
        let mut total = 0f64;
        for (sum, g) in column_sums.iter_mut().zip(g) {
            let square = f64::from(g * g + epsilon);
            *sum += square;
            total += square;
        }
        *row = beta * *row + (1.0 - beta) * (total / width as f64) as f32;
    }
    let height = rows.len() as f64;
    for (column, sum) in columns.iter_mut().zip(column_sums) {
        *column = beta * *column + (1.0 - beta) * (sum / height) as f32;
    }
    let mean = (rows.iter().map(|&row| f64::from(row)).sum::<f64>() / height) as f32;
    let column_factors: Vec<f32> = columns.iter().map(|column| 1.0 / column.sqrt()).collect();
    let mut update = vec![0f32; gradient.len()];
    update.par_chunks_mut(width).zip(gradient.par_chunks(width)).zip(rows.par_iter()).for_each(|((update, g), row)| {
        let row_factor = 1.0 / (row / mean).sqrt();
        for ((u, g), column_factor) in update.iter_mut().zip(g).zip(&column_factors) {
            *u = row_factor * column_factor * g;
        }
    });
    update
}
