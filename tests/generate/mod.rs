//! Generated text: whole, in batches, streamed; what ends it.

pub mod ends;
pub mod streaming;
pub mod text;
