//! A prompt → the answer of a model behind an OpenAI-compatible service.

pub mod client;
pub mod model;
