//! The process that evcxr starts: a supervisor, and the runner that loads and runs the cells.
//!
//! In: evcxr's instructions on stdin. Out: lines for evcxr with all that the cells wrote, and what the kernel's own parts say
//! between them, which is known by a secret.
//! Imports: interrupt, lock, marks, messages, rewrite, spawn, system.

pub mod lines;

pub mod frames;

pub mod input;

pub mod child;
pub mod runner;

#[cfg(test)]
mod bars;
