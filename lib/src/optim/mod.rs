//! Weights with gradients, a learning rate → new weights.
//!
//! Imports: error, nn.

pub mod composed;
pub mod loss_scale;
pub mod optimizer;
pub mod schedule;
