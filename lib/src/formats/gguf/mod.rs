//! A `.gguf` file ↔ a configuration and named weights: `config` reads its metadata and `ends` the ids in them that end a text,
//! `read` its tensors; `metadata` and `mix` are what `write` puts into one, `layout` the names and rows of both.
//!
//! Imports: error, util, border, nn, models.

pub(crate) mod ends;
pub(crate) mod config;
pub(crate) mod layout;
pub(crate) mod read;
pub(crate) mod metadata;
pub mod mix;
pub(crate) mod write;
