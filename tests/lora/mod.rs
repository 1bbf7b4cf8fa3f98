//! Low-rank adapters beside PEFT.

pub mod adapters;
pub mod cases;
pub mod packed;
pub mod several;
