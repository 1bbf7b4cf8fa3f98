//! Weights with gradients, a learning rate → new weights.
//!
//! [`settings`] says which optimizer and with which numbers, [`gradients`] are taken from the weights, [`optimizer`] updates
//! them (on other devices by the operations in [`composed`]), [`schedule`] gives the rate of a step, and [`loss_scale`] keeps
//! small gradients above zero in f16.
//!
//! Imports: compute, error, nn.

pub mod composed;
pub mod gradients;
pub mod loss_scale;
pub mod optimizer;
pub mod schedule;
pub mod settings;
