//! Numeric operations: against PyTorch, against their composed form, and the CUDA kernels on the CPU.

pub mod composed;
pub mod emulation;
pub mod operations;
