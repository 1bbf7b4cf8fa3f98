//! Files of weights ↔ named weights.
//!
//! Imports: error, util, nn, models.

pub(crate) mod gguf;
pub mod safetensors;
