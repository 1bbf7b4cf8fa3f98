//! The arithmetic of AdamW and Adafactor from candle's operations, on the device of the weights: [`crate::train::update`] for
//! devices that are no CPU. Nothing is read back, so that a GPU need not wait.

use candle_core::{D, Tensor};

use crate::train::optimizer::Step;
use crate::train::update::{Adam, EPSILON, Factors};

type Answer<T> = candle_core::Result<T>;

/// `torch.optim.AdamW`: values, gradient and both moments have one shape; gives the new values.
pub fn adamw(values: &Tensor, gradient: &Tensor, state: &mut [Tensor], step: Step) -> Answer<Tensor> {
    let [mean, square] = state else { return Ok(values.clone()) };
    let adam = Adam::new(step);
    let g = (gradient * f64::from(adam.scale))?;
    *mean = (&*mean + ((&g - &*mean)? * f64::from(adam.rest.0))?)?;
    *square = ((&*square * f64::from(adam.betas.1))? + (g.sqr()? * f64::from(adam.rest.1))?)?;
    let root = ((square.sqrt()? * f64::from(adam.root))? + f64::from(adam.epsilon))?;
    (values * f64::from(adam.keep))? - (&*mean * f64::from(adam.step_size))?.div(&root)?
}

/// Adafactor as [`crate::train::update::adafactor`]: the state is `[rows, columns]` of a matrix, `[square]` of a vector; gives
/// the new values.
pub fn adafactor(values: &Tensor, gradient: &Tensor, state: &mut [Tensor], step: Step) -> Answer<Tensor> {
    let factors = Factors::new(step);
    let g = (gradient * f64::from(factors.scale))?;
    let squares = (g.sqr()? + f64::from(EPSILON))?;
    let mix = |average: &Tensor, new: Tensor| (average * f64::from(factors.beta))? + (new * f64::from(1.0 - factors.beta))?;
    let update = match state {
        [square] => {
            *square = mix(square, squares)?;
            g.div(&square.sqrt()?)?
        }
        [rows, columns] => {
            *rows = mix(rows, squares.mean(1)?)?;
            *columns = mix(columns, squares.mean(0)?)?;
            let row = rows.broadcast_div(&rows.mean_keepdim(D::Minus1)?)?.sqrt()?;
            g.broadcast_div(&row.unsqueeze(1)?)?.broadcast_div(&columns.sqrt()?.unsqueeze(0)?)?
        }
        _ => return Ok(values.clone()),
    };
    let clip = update.sqr()?.mean_all()?.sqrt()?.maximum(1.0)?;
    (values * f64::from(factors.keep))? - (update * factors.rate)?.broadcast_div(&clip)?
}
