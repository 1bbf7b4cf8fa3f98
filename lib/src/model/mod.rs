//! Ids → logits: [`neox`] on the fused, differentiable [`ops`]; [`causal`] is the model that lessons hold.

pub mod attention;
pub mod causal;
pub mod config;
pub mod kernels;
pub mod neox;
pub mod ops;
pub(crate) mod simd;
pub mod weights;
