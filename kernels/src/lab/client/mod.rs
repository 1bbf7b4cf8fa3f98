//! A Jupyter client without Python.
//!
//! In: a kernel program and cells. Out: their messages, and outputs as a notebook holds them.
//! Imports: kernel, spawn.

pub mod kernel;
pub mod outputs;

pub mod pass;
