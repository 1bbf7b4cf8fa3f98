//! Slices of numbers → slices of numbers: the arithmetic that training and generation spend their time in. No I/O, no
//! model, no tensor; all numeric `unsafe` of the project stands here.
//!
//! | room | what it holds |
//! |---|---|
//! | [`cpu`] | products, norms, attention, losses and optimizer updates for the instruction set of this machine |
//! | [`cuda`] | the same on an NVIDIA GPU: what a launch is told, and the launch (feature `cuda`) |
//! | [`pool`] | threads that a caller has to itself |
//! | [`memory`] | what becomes of memory that is freed |
//! | [`probe`] | what this machine can do at best |
//!
//! The instructions are the widest that the machine has; the environment variable `FINETUNING_CPU` lowers them for a process
//! (see [`cpu::isa::Level`]). With the feature `checked` each of their accesses to memory is compared with its slice.

#![warn(missing_docs, unsafe_op_in_unsafe_fn, clippy::undocumented_unsafe_blocks)]

pub mod cpu;
pub mod cuda;
pub mod memory;
pub mod pool;
pub mod probe;
