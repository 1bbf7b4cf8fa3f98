//! Tensors → tensors, with gradients: the layers that all families of models are built of.
//!
//! Imports: compute.

pub mod activation;
pub mod attention;
pub mod backend;
pub mod check;
pub mod kernel_op;
pub mod linear;
pub mod norm;
pub(crate) mod packed;
pub mod parameter;
pub mod rotary;
pub(crate) mod tape;
