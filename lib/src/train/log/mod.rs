//! Reports of steps → what people look at while a run goes on.
//!
//! [`curve`] is the live picture of the loss, [`mod@line`] the words of a log, [`meter`] counts operations and sums a run up, [`tensorboard`] writes event files.
//!
//! Imports: display, error, models, util.

pub mod curve;
pub mod line;
pub mod meter;
pub mod tensorboard;
