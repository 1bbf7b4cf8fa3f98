//! The family's `config.json` and its layers.

pub mod config;
pub mod model;
