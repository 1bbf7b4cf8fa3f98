//! Files of weights ↔ named weights.
//!
//! | file | what it holds |
//! |---|---|
//! | [`safetensors`] | `model.safetensors`, whole or in shards |
//! | [`shards`] | the same, written in several files above a size |
//! | [`gguf`] | `.gguf`: its metadata and its packed matrices |
//!
//! Imports: compute, error, util, border, nn, models.

pub mod gguf;
pub mod safetensors;
pub mod shards;
