//! Names and models: which of several is on this machine.

pub mod available;
