//! Names and models: which of several is on this machine; a base model that gets special tokens.

pub mod available;
pub mod extend;
