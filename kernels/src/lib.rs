//! The Jupyter kernel of the lessons, and the launcher that sets everything up.
//!
//! `kernel` runs cells for Jupyter, `lab` is the command line. Below both: `syntax` parses a cell, `spawn` starts programs,
//! `system` asks the operating system, with all `unsafe` of this crate.

#![deny(unsafe_code)]

#[allow(unsafe_code)]
mod system;

mod spawn;
mod syntax;

pub mod kernel;
pub mod lab;
