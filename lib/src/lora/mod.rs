//! A model → the same with low-rank adapters, and the files that PEFT reads.
//!
//! | file | what it holds |
//! |---|---|
//! | [`adapter`] | adapters on a model: fresh, taken off, merged |
//! | [`peft`] | their files |
//!
//! Imports: error, util, border, nn, models, formats.

pub mod adapter;
pub mod peft;
