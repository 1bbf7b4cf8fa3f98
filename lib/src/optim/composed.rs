//! The arithmetic of AdamW and Adafactor from candle's operations, on the device of the weights: [`compute::cpu::update`] for
//! devices that are no CPU; where a device has kernels of ours, they walk what is as large as the weights. Nothing is read back,
//! so that a GPU need not wait.

use candle_core::{D, Result, Shape, Tensor};

use crate::nn::backend::has_kernels;
use crate::nn::kernel_op::KernelCall;
use compute::cpu::update::{Adam, EPSILON, Factors, UpdateArgs};
use compute::cuda::call::{Call, THREADS};

/// `torch.optim.AdamW`: values, gradient and both moments have one shape; gives the new values.
pub fn adamw(values: &Tensor, gradient: &Tensor, state: &mut [Tensor], args: UpdateArgs) -> Result<Tensor> {
    let [mean, square] = state else { return Ok(values.clone()) };
    let adam = Adam::new(args);
    if has_kernels(values.device()) {
        let count = values.elem_count();
        let call = |kernel, numbers: [f32; 4], shape: Shape| Call::new(kernel, (count, 1), &[], &numbers, shape.dims()).over(count);
        let moments = Tensor::stack(&[&*mean, &*square], 0)?;
        let numbers = [adam.scale, adam.rest.0, adam.betas.1, adam.rest.1];
        let moments = call("adamw_moments", numbers, moments.shape().clone()).run(gradient, &moments, gradient)?;
        (*mean, *square) = (moments.get(0)?, moments.get(1)?);
        let numbers = [adam.keep, adam.step_size, adam.root, adam.epsilon];
        return call("adamw_values", numbers, values.shape().clone()).run(values, &moments, &moments);
    }
    let g = (gradient * f64::from(adam.scale))?;
    *mean = (&*mean + ((&g - &*mean)? * f64::from(adam.rest.0))?)?;
    *square = ((&*square * f64::from(adam.betas.1))? + (g.sqr()? * f64::from(adam.rest.1))?)?;
    let root = ((square.sqrt()? * f64::from(adam.root))? + f64::from(adam.epsilon))?;
    (values * f64::from(adam.keep))? - (&*mean * f64::from(adam.step_size))?.div(&root)?
}

/// Adafactor as [`compute::cpu::update::adafactor`]: the state is `[rows, columns]` of a matrix, `[square]` of a vector; gives
/// the new values.
pub fn adafactor(values: &Tensor, gradient: &Tensor, state: &mut [Tensor], args: UpdateArgs) -> Result<Tensor> {
    let factors = Factors::new(args);
    if let ([rows, columns], true) = (&mut *state, has_kernels(values.device())) {
        return adafactor_kernels(values, gradient, (rows, columns), &factors);
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
fn adafactor_kernels(values: &Tensor, gradient: &Tensor, state: (&mut Tensor, &mut Tensor), factors: &Factors) -> Result<Tensor> {
    /// Rows whose squares one thread adds up.
    const GROUP: usize = 256;
    let (size, (rows, columns)) = (values.dims2()?, state);
    let call = |kernel, more: &[usize], numbers: &[f32], shape: Shape| Call::new(kernel, size, more, numbers, shape.dims());
    let squares = [factors.scale, EPSILON];
    let by_row = call("square_rows", &[], &squares, Shape::from(size.0)).run(gradient, gradient, gradient)?;
    let groups = size.0.div_ceil(GROUP);
    let call_columns =
        call("square_columns", &[GROUP], &squares, Shape::from((groups, size.1))).over(groups * size.1.next_multiple_of(THREADS));
    let by_column = (call_columns.run(gradient, gradient, gradient)?.sum(0)? / size.0 as f64)?;
    *rows = mix(factors, rows, &by_row)?;
    *columns = mix(factors, columns, &by_column)?;
    let row = rows.broadcast_div(&rows.mean_keepdim(D::Minus1)?)?.sqrt()?.recip()?;
    let column = columns.sqrt()?.recip()?;
    let squares = call("update_rows", &[], &[factors.scale], Shape::from(size.0)).run(gradient, &row, &column)?;
    let clip = squares.mean_all()?.sqrt()?.maximum(1.0)?;
    let parts = Tensor::cat(&[&row.broadcast_div(&clip)?, &column], 0)?;
    let numbers = [factors.keep, factors.rate as f32 * factors.scale];
    call("adafactor_values", &[], &numbers, values.shape().clone()).run(values, gradient, &parts)
}

/// The average with a new part.
fn mix(factors: &Factors, average: &Tensor, new: &Tensor) -> Result<Tensor> {
    (average * f64::from(factors.beta))? + (new * f64::from(1.0 - factors.beta))?
}
