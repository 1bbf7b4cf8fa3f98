//! Files and formats of weights: safetensors, GGUF, 16 bits, blocks.

pub mod bits;
pub mod export;
pub mod gguf;
pub mod weights;
