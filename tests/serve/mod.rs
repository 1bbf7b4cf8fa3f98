//! The HTTP service from outside.

pub mod answers;
pub mod client;
pub mod guard;
