//! A prompt and a model → text.

pub mod batch;
pub mod beams;
pub mod config;
pub(crate) mod sequence;
pub mod stream;
