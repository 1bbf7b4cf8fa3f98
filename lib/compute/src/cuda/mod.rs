//! A call of a CUDA kernel → its output on the device: [`call`] says what a kernel is told, `launch` compiles and starts it.
//!
//! Imports: nothing.

pub mod call;
#[cfg(feature = "cuda")]
pub mod launch;
