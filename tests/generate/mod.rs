//! Generated text: whole, in batches, streamed.

pub mod streaming;
pub mod text;
