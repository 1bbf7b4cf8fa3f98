//! Whole models against transformers, family by family.

pub mod candle;
pub mod families;
pub mod parity;
