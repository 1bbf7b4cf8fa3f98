//! Slices of numbers → slices of numbers: the arithmetic that training and generation spend their time in. No I/O, no
//! model, no tensor; all numeric `unsafe` of the project stands here.
//!
//! | room | what it holds |
//! |---|---|
//! | [`cpu`] | products, norms, attention, losses and optimizer updates for the instruction set of this machine |
//! | [`cuda`] | the same on an NVIDIA GPU: what a launch is told, and the launch |
//! | [`memory`] | what becomes of memory that is freed |
//! | [`probe`] | what this machine can do at best |

pub mod cpu;
pub mod cuda;
pub mod memory;
pub mod probe;
