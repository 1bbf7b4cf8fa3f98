//! Rows, widths and other plain numbers of an operation → the calls of its kernels: how many blocks start, what they are told, how
//! long each input must be and what shape the output has, all from the same numbers.
//!
//! Products saturate, and [`Call::check`] refuses what is that large.

use crate::cpu::activation::Sigmoidal;
use crate::cpu::attention::Scores;
use crate::cpu::update::{Adam, EPSILON, Factors};
use crate::cuda::call::{Call, THREADS, product};

/// Layer norm of rows, or RMS norm.
#[derive(Debug, Clone, Copy)]
pub struct Norm {
    /// Rows of the input.
    pub rows: usize,
    /// Numbers of a row.
    pub width: usize,
    /// Whether the mean is taken off and a bias added: layer norm.
    pub is_centred: bool,
    /// Added to the variance.
    pub epsilon: f32,
    /// Added to the weight.
    pub offset: f32,
}

impl Norm {
    fn call(&self, kernel: &'static str, inputs: [Option<usize>; 3], shape: &[usize]) -> Call {
        Call::by_row(kernel, &[self.rows, self.width, usize::from(self.is_centred)], &[self.epsilon, self.offset], inputs, shape)
    }

    fn size(&self) -> usize {
        product(&[self.rows, self.width])
    }

    /// `x (rows, width)`, weight and bias `(width)` → `(rows, width)`; without centring the bias is not read.
    pub fn rows(&self) -> Call {
        let bias = self.is_centred.then_some(self.width);
        self.call("norm_rows", [Some(self.size()), Some(self.width), bias], &[self.rows, self.width])
    }

    /// `x (rows, width)`, weight `(width)`, gradient of the result → the gradient by `x`.
    pub fn grad(&self) -> Call {
        self.call("norm_grad", [Some(self.size()), Some(self.width), Some(self.size())], &[self.rows, self.width])
    }

    /// `x (rows, width)` → `(rows, 2)`: the mean of each row and 1 / its standard deviation.
    pub fn mean_var(&self) -> Call {
        self.call("norm_mean_var", [Some(self.size()), None, None], &[self.rows, 2])
    }

    /// `x (rows, width)`, what [`Norm::mean_var`] gives, gradient of the result → `(2, width)`: gradients by weight and bias.
    pub fn affine(&self) -> Call {
        let inputs = [Some(self.size()), Some(product(&[2, self.rows])), Some(self.size())];
        self.call("norm_affine", inputs, &[2, self.width]).in_blocks(self.width.div_ceil(THREADS))
    }
}

/// Rows of queries, keys and values → heads that are turned by their positions.
#[derive(Debug, Clone, Copy)]
pub struct Heads {
    /// Positions.
    pub rows: usize,
    /// Heads of queries.
    pub heads: usize,
    /// Heads of keys, and of values: as many as of queries where `is_interleaved`.
    pub kv_heads: usize,
    /// Dimensions of a head.
    pub size: usize,
    /// Half of the dimensions that are turned: of the size at most its half.
    pub half: usize,
    /// Whether query, key and value of a head stand together in a row, rather than all queries first.
    pub is_interleaved: bool,
}

impl Heads {
    fn call(&self, kernel: &'static str, is_split: bool) -> Call {
        let parts = self.kv_heads.saturating_mul(2).saturating_add(self.heads);
        let width = product(&[parts, self.size]);
        let (joined, split) = ([self.rows, width], [parts, self.rows, self.size]);
        // A kernel finds its place in a row only where both hold; a count that `check` refuses stands for what does not.
        let fits = self.half <= self.size / 2 && (!self.is_interleaved || self.heads == self.kv_heads);
        let size = if fits { self.size } else { usize::MAX };
        let counts = [self.rows, width, self.heads, self.kv_heads, size, self.half, usize::from(self.is_interleaved)];
        let table = (self.half > 0).then(|| product(&[self.rows, self.half]));
        let shape: &[usize] = if is_split { &split } else { &joined };
        Call::by_row(kernel, &counts, &[], [Some(product(&joined)), table, table], shape)
    }

    /// `qkv (rows, (heads + 2 kv_heads) · size)`, cosines and sines `(rows, half)` → `(heads + 2 kv_heads, rows, size)`.
    pub fn split(&self) -> Call {
        self.call("heads", true)
    }

    /// The gradient of the result, cosines and sines → the gradient by `qkv`.
    pub fn grad(&self) -> Call {
        self.call("heads_grad", false)
    }
}

/// Products of queries with the keys up to their own → probabilities.
#[derive(Debug, Clone, Copy)]
pub struct Softmax {
    /// Heads.
    pub heads: usize,
    /// Queries of a head.
    pub queries: usize,
    /// Keys before the first query's own; the keys are `offset + queries`.
    pub offset: usize,
    /// Scale, cap and window; a window of 0 is none.
    pub scores: Scores,
}

impl Softmax {
    fn call(&self, kernel: &'static str, is_grad: bool) -> Call {
        let keys = self.offset.saturating_add(self.queries);
        let shape = [self.heads, self.queries, keys];
        let counts = [product(&shape[..2]), keys, self.queries, self.offset, self.scores.window.unwrap_or(0)];
        let size = Some(product(&shape));
        let others = if is_grad { size } else { None };
        Call::by_row(kernel, &counts, &[self.scores.scale, self.scores.cap.unwrap_or(0.0)], [size, others, others], &shape)
    }

    /// Products `(heads, queries, keys)` → probabilities.
    pub fn rows(&self) -> Call {
        self.call("softmax", false)
    }

    /// Products, probabilities, gradient by the probabilities → the gradient by the products.
    pub fn grad(&self) -> Call {
        self.call("softmax_grad", true)
    }
}

/// GELU of any shape.
#[derive(Debug, Clone)]
pub struct Gelu<'a> {
    /// Dimensions of the input.
    pub shape: &'a [usize],
}

impl Gelu<'_> {
    /// `x` → its GELU.
    pub fn values(&self) -> Call {
        let count = product(self.shape);
        Call::by_number("gelu", count, &[], &[], [Some(count), None, None], self.shape)
    }

    /// `x`, gradient of the result → the gradient by `x`.
    pub fn grad(&self) -> Call {
        let count = product(self.shape);
        Call::by_number("gelu_grad", count, &[], &[], [Some(count), Some(count), None], self.shape)
    }
}

/// `activation(gate) · up`, or the activation alone, of any shape.
#[derive(Debug, Clone)]
pub struct Gated<'a> {
    /// Dimensions of the gate.
    pub shape: &'a [usize],
    /// Whether there is an `up`.
    pub has_up: bool,
    /// The activation.
    pub form: Sigmoidal,
}

impl Gated<'_> {
    fn call(&self, kernel: &'static str, is_grad: bool) -> Call {
        let count = product(self.shape);
        let both = [2, count];
        let shape = if is_grad { &both } else { self.shape };
        let inputs = [Some(count), self.has_up.then_some(count), is_grad.then_some(count)];
        Call::by_number(kernel, count, &[usize::from(self.has_up)], &self.form.factors(), inputs, shape)
    }

    /// Gate and up → the gated values.
    pub fn values(&self) -> Call {
        self.call("gated", false)
    }

    /// Gate, up, gradient of the result → `(2, numbers)`: gradients by gate and up.
    pub fn grad(&self) -> Call {
        self.call("gated_grad", true)
    }
}

/// Cross entropy of logits.
#[derive(Debug, Clone, Copy)]
pub struct Losses {
    /// Rows of logits.
    pub rows: usize,
    /// Words of the vocabulary, at most 2²⁴: an id is told as an f32.
    pub width: usize,
    /// Part of the probability that is spread over all words.
    pub smoothing: f32,
}

impl Losses {
    fn call(&self, kernel: &'static str, grad: Option<usize>, shape: &[usize]) -> Call {
        let width = if self.width <= 1 << 24 { self.width } else { usize::MAX };
        Call::by_row(
            kernel,
            &[self.rows, width],
            &[self.smoothing],
            [Some(product(&[self.rows, self.width])), Some(self.rows), grad],
            shape,
        )
    }

    /// Logits `(rows, width)`, ids `(rows)` → losses `(rows)`: 0 for an id below 0, not a number for one that has no logit.
    pub fn rows(&self) -> Call {
        self.call("losses", None, &[self.rows])
    }

    /// Logits, ids, gradient by the losses `(rows)` → the gradient by the logits.
    pub fn grad(&self) -> Call {
        self.call("losses_grad", Some(self.rows), &[self.rows, self.width])
    }
}

/// AdamW of a parameter of any shape.
#[derive(Clone)]
pub struct AdamW<'a> {
    /// Dimensions of the parameter.
    pub shape: &'a [usize],
    /// The step's factors.
    pub factors: Adam,
}

impl AdamW<'_> {
    /// Gradient, both moments `(2, …)` → both moments.
    pub fn moments(&self) -> Call {
        let (count, adam) = (product(self.shape), &self.factors);
        let numbers = [adam.scale, adam.rest.0, adam.betas.1, adam.rest.1];
        let shape = [&[2], self.shape].concat();
        Call::by_number("adamw_moments", count, &[], &numbers, [Some(count), Some(product(&shape)), None], &shape)
    }

    /// Values, both moments `(2, …)` → values.
    pub fn values(&self) -> Call {
        let (count, adam) = (product(self.shape), &self.factors);
        let numbers = [adam.keep, adam.step_size, adam.root, adam.epsilon];
        Call::by_number("adamw_values", count, &[], &numbers, [Some(count), Some(product(&[2, count])), None], self.shape)
    }
}

/// Adafactor of a matrix.
pub struct Adafactor<'a> {
    /// Rows of the parameter.
    pub rows: usize,
    /// Numbers of a row.
    pub width: usize,
    /// The step's factors.
    pub factors: &'a Factors,
}

impl Adafactor<'_> {
    /// Rows whose squares one thread adds up.
    const GROUP: usize = 256;

    fn size(&self) -> usize {
        product(&[self.rows, self.width])
    }

    /// Gradient `(rows, width)` → `(rows)`: the mean of each row's squares.
    pub fn square_rows(&self) -> Call {
        let numbers = [self.factors.scale, EPSILON];
        Call::by_row("square_rows", &[self.rows, self.width], &numbers, [Some(self.size()), None, None], &[self.rows])
    }

    /// Gradient `(rows, width)` → `(groups, width)`: the sum of each column's squares in groups of rows.
    pub fn square_columns(&self) -> Call {
        let groups = self.rows.div_ceil(Self::GROUP);
        let counts = [self.rows, self.width, Self::GROUP];
        let numbers = [self.factors.scale, EPSILON];
        let call = Call::by_row("square_columns", &counts, &numbers, [Some(self.size()), None, None], &[groups, self.width]);
        call.in_blocks(product(&[groups, self.width.div_ceil(THREADS)]))
    }

    /// Gradient `(rows, width)`, factors of the rows and of the columns → `(rows)`: each row's mean square of the update.
    pub fn update_rows(&self) -> Call {
        let inputs = [Some(self.size()), Some(self.rows), Some(self.width)];
        Call::by_row("update_rows", &[self.rows, self.width], &[self.factors.scale], inputs, &[self.rows])
    }

    /// Values and gradient `(rows, width)`, factors of the rows and then of the columns → values.
    pub fn values(&self) -> Call {
        let inputs = [Some(self.size()), Some(self.size()), Some(self.rows.saturating_add(self.width))];
        let numbers = [self.factors.keep, self.factors.rate as f32 * self.factors.scale];
        Call::by_row("adafactor_values", &[self.rows, self.width], &numbers, inputs, &[self.rows, self.width])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cuda::call::MOST;

    #[test]
    fn inputs_of_another_length_are_refused() {
        let norm = Norm { rows: 3, width: 8, is_centred: true, epsilon: 1e-5, offset: 0.0 };
        assert_eq!(norm.rows().check([24, 8, 8]), Ok(()));
        for lengths in [[23, 8, 8], [24, 7, 8], [24, 8, 9], [48, 8, 8]] {
            assert!(norm.rows().check(lengths).is_err(), "{lengths:?}");
        }
        assert_eq!(Norm { is_centred: false, ..norm }.rows().check([24, 8, 1]), Ok(()), "a bias that is not read");
        let error = norm.affine().check([24, 5, 24]).unwrap_err().to_string();
        assert_eq!(error, "the second input of the kernel norm_affine has 5 numbers in place of 6");
        let gelu = Gelu { shape: &[2, 3] }.values();
        assert!(gelu.emulate(|_, inputs| inputs[0].to_vec(), [&[0.0; 6], &[], &[]]).is_ok());
        assert!(gelu.emulate(|_, _| vec![0.0; 5], [&[0.0; 6], &[], &[]]).is_err());
        assert!(gelu.emulate(|_, _| vec![0.0; 6], [&[0.0; 7], &[], &[]]).is_err());
    }

    #[test]
    fn what_a_kernel_cannot_count_is_refused() {
        let huge = [usize::MAX / 2, 1 << 40, MOST + 1];
        for rows in huge {
            let norm = Norm { rows, width: 4, is_centred: false, epsilon: 0.0, offset: 0.0 };
            assert!(norm.grad().check([rows.wrapping_mul(4), 4, rows.wrapping_mul(4)]).is_err());
            let scores = Scores { scale: 1.0, cap: None, window: None };
            assert!(Softmax { heads: rows, queries: 2, offset: 0, scores }.rows().check([rows.wrapping_mul(4), 0, 0]).is_err());
            let gelu = Gelu { shape: &[rows, 4] }.values();
            assert!(gelu.check([rows.wrapping_mul(4); 3]).is_err());
        }
        let losses = Losses { rows: 1, width: (1 << 24) + 1, smoothing: 0.0 };
        assert!(losses.rows().check([losses.width, 1, 1]).is_err(), "ids that an f32 cannot tell apart");
        let heads = Heads { rows: 2, heads: 4, kv_heads: 1, size: 6, half: 3, is_interleaved: false };
        assert_eq!(heads.split().check([72, 6, 6]), Ok(()));
        assert_eq!(heads.grad().shape(), [2, 36]);
        for wrong in [Heads { is_interleaved: true, ..heads }, Heads { half: 4, ..heads }] {
            assert!(wrong.split().check([72, 2 * wrong.half, 2 * wrong.half]).is_err(), "a kernel would read beside its row");
        }
    }
}
