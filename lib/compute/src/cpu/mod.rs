//! Slices of f32 in memory → slices of f32: what a transformer computes, forward and backward, on the CPU.
//!
//! From the ground up: `isa` is the level of instructions, `raw` the way of an instruction to memory, `tile` what a product is made of,
//! `microkernel` a tile in registers, `pack` the panels it reads, `plain` the `gemm` crate; [`gemm`] is a product of any size,
//! [`packed`] the formats of packed weights, [`gemv`] and [`lanes`] a few rows times a weight; [`rows`], [`activation`],
//! [`attention`], [`loss`] and [`update`] are the rest of a training step.
//!
//! Imports: nothing.

pub mod activation;
pub mod attention;
pub mod gemm;
pub mod gemv;
pub mod isa;
pub mod lanes;
pub mod loss;
#[cfg_attr(not(target_arch = "x86_64"), allow(unused))]
mod microkernel;
mod pack;
pub mod packed;
mod plain;
#[cfg_attr(not(target_arch = "x86_64"), allow(unused))]
mod raw;
pub mod rows;
#[cfg_attr(not(target_arch = "x86_64"), allow(unused))]
mod tile;
pub mod update;
