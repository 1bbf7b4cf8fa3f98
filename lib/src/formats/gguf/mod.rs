//! A `.gguf` file → a configuration and named weights: `config` reads its metadata, `read` its tensors.
//!
//! Imports: error, util, nn, models.

pub(crate) mod config;
pub(crate) mod read;
