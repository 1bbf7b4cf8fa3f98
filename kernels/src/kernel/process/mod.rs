//! The process that evcxr starts: a supervisor, and the runner that loads and runs the cells.
//!
//! In: evcxr's instructions on stdin. Out: lines for evcxr with all that the cells wrote, and control frames between them.
//! Imports: messages, spawn, system.

pub mod frames;

pub mod child;
pub mod runner;

#[cfg(test)]
mod bars;
