//! Slices of f32 in memory → slices of f32: what a transformer computes, forward and backward, on the CPU.
//!
//! Imports: nothing.

pub mod activation;
pub mod attention;
pub mod gemm;
pub mod gemv;
pub mod isa;
pub mod lanes;
pub mod loss;
mod microkernel;
mod pack;
pub mod packed;
mod plain;
mod raw;
pub mod rows;
mod tile;
pub mod update;
