//! Files of weights ↔ named weights.
//!
//! | file | what it holds |
//! |---|---|
//! | [`safetensors`] | `model.safetensors`, whole or in shards |
//! | `gguf` | `.gguf`: its metadata and its packed matrices |
//!
//! Imports: compute, error, util, border, nn, models.

pub(crate) mod gguf;
pub mod safetensors;
