//! One parameter's values, gradient and state → its new values: the arithmetic of AdamW and Adafactor on the CPU.
//!
//! Each walks its memory as few times as its formula allows, in parallel chunks whose sums are joined in a fixed order.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::cpu::isa::vectorised;

/// Numbers that one task takes.
pub const CHUNK: usize = 16 * 1024;
/// Added to squared gradients by Adafactor.
pub const EPSILON: f32 = 1e-30;

/// What the update of one parameter needs to know.
#[derive(Debug, Clone, Copy)]
pub struct UpdateArgs {
    /// AdamW's decay of the mean and of the mean square.
    pub betas: (f64, f64),
    /// AdamW's addend of the denominator.
    pub epsilon: f64,
    /// Decoupled weight decay of this parameter.
    pub weight_decay: f64,
    /// Steps, this one included.
    pub step: u64,
    /// Learning rate.
    pub rate: f64,
    /// Every gradient is multiplied by this first: the share of a token and the clip.
    pub scale: f32,
}

/// The factors of one AdamW step.
#[derive(Clone, Copy)]
pub struct Adam {
    /// What a gradient is multiplied by.
    pub scale: f32,
    /// Decay of the mean and of the mean square.
    pub betas: (f32, f32),
    /// 1 less the betas.
    pub rest: (f32, f32),
    /// The learning rate over what the mean's start at 0 leaves of it.
    pub step_size: f32,
    /// What the root of the mean square is multiplied by.
    pub root: f32,
    /// What weight decay leaves of a value.
    pub keep: f32,
    /// Added to the root.
    pub epsilon: f32,
}

impl Adam {
    /// The factors of the step that the arguments name.
    pub fn new(args: UpdateArgs) -> Self {
        let (first, second) = args.betas;
        let power = |beta: f64| 1.0 - beta.powi(args.step as i32);
        Self {
            scale: args.scale,
            betas: (first as f32, second as f32),
            rest: ((1.0 - first) as f32, (1.0 - second) as f32),
            step_size: (args.rate / power(first)) as f32,
            root: (1.0 / power(second).sqrt()) as f32,
            keep: (1.0 - args.rate * args.weight_decay) as f32,
            epsilon: args.epsilon as f32,
        }
    }
}

vectorised! {
    fn adamw_part(values: &mut [f32], gradient: &[f32], mean: &mut [f32], square: &mut [f32], adam: Adam) {
        for (((value, g), m), v) in values.iter_mut().zip(gradient).zip(mean).zip(square) {
            let g = g * adam.scale;
            *m += (g - *m) * adam.rest.0;
            *v = *v * adam.betas.1 + g * g * adam.rest.1;
            *value = *value * adam.keep - adam.step_size * *m / (v.sqrt() * adam.root + adam.epsilon);
        }
    }
}

/// `torch.optim.AdamW`: the state is mean and mean square, both of the values' shape; with any other nothing happens.
pub fn adamw(values: &mut [f32], gradient: &[f32], state: &mut [Vec<f32>], args: UpdateArgs) {
    let [mean, square] = state else { return };
    let adam = Adam::new(args);
    let moments = mean.par_chunks_mut(CHUNK).zip(square.par_chunks_mut(CHUNK));
    values.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK)).zip(moments).for_each(|((values, gradient), (mean, square))| {
        adamw_part(values, gradient, mean, square, adam);
    });
}

/// [`adamw`] where all rows but these have no gradient; rows that never had one only decay.
pub fn adamw_rows(values: &mut [f32], rows: &BTreeMap<u32, Vec<f32>>, state: &mut [Vec<f32>], width: usize, args: UpdateArgs) {
    let [mean, square] = state else { return };
    let (adam, zeros) = (Adam::new(args), vec![0f32; width]);
    let moments = mean.par_chunks_mut(width).zip(square.par_chunks_mut(width));
    values.par_chunks_mut(width).zip(moments).enumerate().for_each(|(row, (values, (mean, square)))| match rows.get(&(row as u32)) {
        Some(gradient) => adamw_part(values, gradient, mean, square, adam),
        None if mean.iter().any(|m| *m != 0.0) => adamw_part(values, &zeros, mean, square, adam),
        None if adam.keep != 1.0 => values.iter_mut().for_each(|value| *value *= adam.keep),
        None => {}
    });
}

/// The factors of one Adafactor step.
pub struct Factors {
    /// What a gradient is multiplied by.
    pub scale: f32,
    /// Decay of the mean squares.
    pub beta: f32,
    /// What weight decay leaves of a value.
    pub keep: f32,
    /// Learning rate.
    pub rate: f64,
}

impl Factors {
    /// The factors of the step that the arguments name.
    pub fn new(args: UpdateArgs) -> Self {
        let keep = (1.0 - args.rate * args.weight_decay) as f32;
        Self { scale: args.scale, beta: (1.0 - (args.step as f64).powf(-0.8)) as f32, keep, rate: args.rate }
    }

    /// Learning rate over the root mean square of the update, where that is above 1.
    fn clipped(&self, squares: f64, count: usize) -> f32 {
        (self.rate / (squares / count as f64).sqrt().max(1.0)) as f32
    }
}

vectorised! {
    /// The sum of the scaled squares of a row, added to the columns' sums as well.
    fn square_row(g: &[f32], columns: &mut [f32], scale: f32) -> f32 {
        let mut total = [0f32; 16];
        for (g, column) in g.chunks(16).zip(columns.chunks_mut(16)) {
            for ((total, g), column) in total.iter_mut().zip(g).zip(column) {
                let g = g * scale;
                let square = g * g + EPSILON;
                *column += square;
                *total += square;
            }
        }
        total.iter().sum()
    }
}

vectorised! {
    /// The sum of the squares of `g · factors`.
    fn update_squares(g: &[f32], factors: &[f32]) -> f32 {
        let mut total = [0f32; 16];
        for (g, factors) in g.chunks(16).zip(factors.chunks(16)) {
            for ((total, g), factor) in total.iter_mut().zip(g).zip(factors) {
                let u = g * factor;
                *total += u * u;
            }
        }
        total.iter().sum()
    }
}

vectorised! {
    fn apply(values: &mut [f32], g: &[f32], factors: &[f32], keep: f32, scale: f32) {
        for ((value, g), factor) in values.iter_mut().zip(g).zip(factors) {
            *value = *value * keep - scale * (g * factor);
        }
    }
}

/// `transformers.optimization.Adafactor` with `scale_parameter=False`, `relative_step=False` and its other defaults:
/// clip threshold 1, decay rate −0.8, eps 1e-30, no first moment.
pub fn adafactor(values: &mut [f32], gradient: &[f32], state: &mut [Vec<f32>], dims: &[usize], args: UpdateArgs) {
    let factors = Factors::new(args);
    match state {
        [square] => {
            for (v, g) in square.iter_mut().zip(gradient) {
                let g = g * factors.scale;
                *v = factors.beta * *v + (1.0 - factors.beta) * (g * g + EPSILON);
            }
            let inverse: Vec<f32> = square.iter().map(|v| factors.scale / v.sqrt()).collect();
            let squares = f64::from(update_squares(gradient, &inverse));
            apply(values, gradient, &inverse, factors.keep, factors.clipped(squares, gradient.len()));
        }
        [rows, columns] => {
            let width = dims[1];
            let band = CHUNK.div_ceil(width);
            let sums: Vec<(Vec<f32>, Vec<f32>)> = gradient
                .par_chunks(band * width)
                .map(|gradient| {
                    let mut columns = vec![0f32; width];
                    let rows = gradient.chunks_exact(width).map(|g| square_row(g, &mut columns, factors.scale)).collect();
                    (rows, columns)
                })
                .collect();
            for (rows, (sums, _)) in rows.chunks_mut(band).zip(&sums) {
                rows.iter_mut().zip(sums).for_each(|(row, sum)| mix(row, *sum / width as f32, factors.beta));
            }
            let height = rows.len() as f32;
            for (index, column) in columns.iter_mut().enumerate() {
                let sum: f64 = sums.iter().map(|(_, columns)| f64::from(columns[index])).sum();
                mix(column, sum as f32 / height, factors.beta);
            }
            let (row_factors, column_factors) = factored(rows, columns, factors.scale);
            let row_squares = |(g, factor): (&[f32], &f32)| f64::from(update_squares(g, &column_factors)) * f64::from(factor * factor);
            let squares: Vec<f64> = gradient.par_chunks(width).zip(&row_factors).with_min_len(band).map(row_squares).collect();
            let scale = factors.clipped(squares.iter().sum(), gradient.len());
            let pairs = values.par_chunks_mut(width).zip(gradient.par_chunks(width)).zip(&row_factors).with_min_len(band);
            pairs.for_each(|((values, g), factor)| apply(values, g, &column_factors, factors.keep, scale * factor));
        }
        _ => {}
    }
}

/// [`adafactor`] of a matrix where all rows but these have no gradient.
pub fn adafactor_rows(values: &mut [f32], gradient: &BTreeMap<u32, Vec<f32>>, state: &mut [Vec<f32>], width: usize, args: UpdateArgs) {
    let [rows, columns] = state else { return };
    let factors = Factors::new(args);
    // A row without a gradient still counts its epsilon.
    let mut sums = vec![EPSILON * (rows.len() - gradient.len()) as f32; width];
    let mut row_sums = gradient.values().map(|g| square_row(g, &mut sums, factors.scale)).collect::<Vec<f32>>().into_iter();
    for (id, row) in rows.iter_mut().enumerate() {
        let sum = if gradient.contains_key(&(id as u32)) { row_sums.next() } else { None };
        mix(row, sum.unwrap_or(EPSILON * width as f32) / width as f32, factors.beta);
    }
    let height = rows.len() as f32;
    columns.iter_mut().zip(&sums).for_each(|(column, sum)| mix(column, sum / height, factors.beta));
    let (row_factors, column_factors) = factored(rows, columns, factors.scale);
    let row_squares =
        |(id, g): (&u32, &Vec<f32>)| f64::from(update_squares(g, &column_factors)) * f64::from(row_factors[*id as usize]).powi(2);
    let scale = factors.clipped(gradient.iter().map(row_squares).sum(), rows.len() * width);
    if factors.keep != 1.0 {
        values.par_iter_mut().for_each(|value| *value *= factors.keep);
    }
    for (id, g) in gradient {
        apply(&mut values[*id as usize * width..][..width], g, &column_factors, 1.0, scale * row_factors[*id as usize]);
    }
}

fn mix(average: &mut f32, new: f32, beta: f32) {
    *average = beta * *average + (1.0 - beta) * new;
}

/// The factors of rows and of columns, by whose product a scaled gradient becomes an update.
fn factored(rows: &[f32], columns: &[f32], scale: f32) -> (Vec<f32>, Vec<f32>) {
    let mean = (rows.iter().map(|&row| f64::from(row)).sum::<f64>() / rows.len() as f64) as f32;
    let row = |row: &f32| scale / (row / mean).sqrt();
    (rows.iter().map(row).collect(), columns.iter().map(|column| 1.0 / column.sqrt()).collect())
}
