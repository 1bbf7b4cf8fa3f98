//! A `.gguf` file → a configuration and named weights: `config` reads its metadata, `read` its tensors.
//!
//! Imports: error, util, border, nn, models.

pub(crate) mod config;
pub(crate) mod read;
