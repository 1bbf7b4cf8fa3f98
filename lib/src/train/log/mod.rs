//! Reports of steps → what people look at while a run goes on.

pub mod curve;
pub mod meter;
pub mod tensorboard;
