//! Numbers of an operation → its call, and a call with its inputs → the output on a GPU: [`call`] derives what a kernel of
//! `kernels` is told, `launch` (with the feature `cuda`) compiles the kernels and starts them.
//!
//! Imports: cpu.

pub mod call;
#[cfg(feature = "cuda")]
pub mod launch;
