//! A model → the same with low-rank adapters, and the files that PEFT reads.
//!
//! | file | what it holds |
//! |---|---|
//! | [`adapter`] | adapters on a model: fresh, taken off, merged |
//! | `targets` | which matrices an adapter changes, and what it copies |
//! | [`set`] | several adapters of one model, by name |
//! | `weighted` | several adapters → one |
//! | [`peft`] | their files |
//! | `settings` | `adapter_config.json` |
//! | `base` | whether an adapter belongs to a model |
//!
//! Imports: compute, error, util, border, nn, models, formats.

pub mod adapter;
mod base;
pub mod peft;
pub mod set;
pub(crate) mod settings;
mod targets;
pub mod weighted;
