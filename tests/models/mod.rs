//! Whole models against transformers, family by family.

pub mod families;
pub mod parity;
