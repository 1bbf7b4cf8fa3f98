//! A model → the same with low-rank adapters, and the files that PEFT reads.
//!
//! Imports: error, util, nn, models, formats.

pub mod adapter;
pub mod peft;
