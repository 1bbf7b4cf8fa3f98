//! A `.gguf` file → a configuration and named weights.

pub(crate) mod config;
pub(crate) mod read;
