//! Tokens → a trained model: [`trainer`] is the loop, every other file is one of its parts.

pub mod arguments;
pub mod batch;
pub mod checkpoint;
pub mod config;
pub mod curve;
pub mod dpo;
pub mod optimizer;
pub mod preference;
pub mod schedule;
pub mod trainer;
pub mod update;
