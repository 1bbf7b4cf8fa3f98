//! Layers and gradients: every parameter learns, two ways of computing agree.

pub mod gradients;
pub mod invariance;
