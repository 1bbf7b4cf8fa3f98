//! Plain numbers of an operation → the call of its kernel ([`operation`]) → with its inputs, compared first ([`call`]), the output on
//! a GPU (`launch`, with the feature `cuda`). The kernels are in `kernels`.
//!
//! Imports: cpu.

pub mod call;
#[cfg(feature = "cuda")]
pub mod launch;
pub mod operation;
