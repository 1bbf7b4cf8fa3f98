//! The arithmetic of AdamW and Adafactor from candle's operations, on the device of the weights: [`compute::cpu::update`] for
//! devices that are no CPU; where a device has kernels of ours, they walk what is as large as the weights. Nothing is read back,
//! so that a GPU need not wait.

use candle_core::{D, Result, Tensor};

use crate::nn::backend::{Backend, Kernels};
use crate::nn::kernel_op::KernelCall;
use compute::cpu::update::{Adam, EPSILON, Factors, UpdateArgs};
use compute::cuda::operation;

/// `torch.optim.AdamW`: values, gradient and both moments have one shape; gives the new values.
///
/// # Errors
/// When the device fails.
pub fn adamw(backend: Backend, values: &Tensor, gradient: &Tensor, state: &mut [Tensor], args: UpdateArgs) -> Result<Tensor> {
    let [mean, square] = state else { return Ok(values.clone()) };
    let adam = Adam::new(args);
    if let Some(kernels) = backend.as_kernels() {
        let call = operation::AdamW { shape: values.dims(), factors: adam };
        let moments = Tensor::stack(&[&*mean, &*square], 0)?;
        let moments = call.moments().run(kernels, gradient, &moments, gradient)?;
        (*mean, *square) = (moments.get(0)?, moments.get(1)?);
        return call.values().run(kernels, values, &moments, &moments);
    }
    let g = (gradient * f64::from(adam.scale))?;
    *mean = (&*mean + ((&g - &*mean)? * f64::from(adam.rest.0))?)?;
    *square = ((&*square * f64::from(adam.betas.1))? + (g.sqr()? * f64::from(adam.rest.1))?)?;
    let root = ((square.sqrt()? * f64::from(adam.root))? + f64::from(adam.epsilon))?;
    (values * f64::from(adam.keep))? - (&*mean * f64::from(adam.step_size))?.div(&root)?
}

/// Adafactor as [`compute::cpu::update::adafactor`]: the state is `[rows, columns]` of a matrix, `[square]` of a vector; gives
/// the new values.
///
/// # Errors
/// When the device fails.
pub fn adafactor(backend: Backend, values: &Tensor, gradient: &Tensor, state: &mut [Tensor], args: UpdateArgs) -> Result<Tensor> {
    let factors = Factors::new(args);
    if let ([rows, columns], Some(kernels)) = (&mut *state, backend.as_kernels()) {
        return adafactor_kernels(kernels, values, gradient, (rows, columns), &factors);
    }
    let g = (gradient * f64::from(factors.scale))?;
    let squares = (g.sqr()? + f64::from(EPSILON))?;
    let update = match state {
        [square] => {
            *square = mix(&factors, square, &squares)?;
            g.div(&square.sqrt()?)?
        }
        [rows, columns] => {
            *rows = mix(&factors, rows, &squares.mean(1)?)?;
            *columns = mix(&factors, columns, &squares.mean(0)?)?;
            let row = rows.broadcast_div(&rows.mean_keepdim(D::Minus1)?)?.sqrt()?;
            g.broadcast_div(&row.unsqueeze(1)?)?.broadcast_div(&columns.sqrt()?.unsqueeze(0)?)?
        }
        _ => return Ok(values.clone()),
    };
    let clip = update.sqr()?.mean_all()?.sqrt()?.maximum(1.0)?;
    (values * f64::from(factors.keep))? - (update * factors.rate)?.broadcast_div(&clip)?
}

/// [`adafactor`] of a matrix, which is walked four times.
fn adafactor_kernels(
    kernels: Kernels,
    values: &Tensor,
    gradient: &Tensor,
    state: (&mut Tensor, &mut Tensor),
    factors: &Factors,
) -> Result<Tensor> {
    let ((height, width), (rows, columns)) = (values.dims2()?, state);
    let call = operation::Adafactor { rows: height, width, factors };
    let by_row = call.square_rows().run(kernels, gradient, gradient, gradient)?;
    let by_column = (call.square_columns().run(kernels, gradient, gradient, gradient)?.sum(0)? / height as f64)?;
    *rows = mix(factors, rows, &by_row)?;
    *columns = mix(factors, columns, &by_column)?;
    let row = rows.broadcast_div(&rows.mean_keepdim(D::Minus1)?)?.sqrt()?.recip()?;
    let column = columns.sqrt()?.recip()?;
    let squares = call.update_rows().run(kernels, gradient, &row, &column)?;
    let clip = squares.mean_all()?.sqrt()?.maximum(1.0)?;
    let parts = Tensor::cat(&[&row.broadcast_div(&clip)?, &column], 0)?;
    call.values().run(kernels, values, gradient, &parts)
}

/// The average with a new part.
fn mix(factors: &Factors, average: &Tensor, new: &Tensor) -> Result<Tensor> {
    (average * f64::from(factors.beta))? + (new * f64::from(1.0 - factors.beta))?
}
