//! Low-rank adapters beside PEFT.

pub mod adapters;
