//! A configuration and weights → a model: one folder a family, one page of code each.
//!
//! | file | what it holds |
//! |---|---|
//! | [`family`] | what a family says of itself |
//! | [`neox`], [`llama`], [`phi`] | the families: `config.json` and the layers |
//! | [`config`] | `config.json` → the configuration of its family |
//! | [`decoder`] | what all families share: embedding, layers, output projection, caches, the way back |
//! | `assemble` | named weights → a decoder, with packed matrices and adapters in their places |
//! | [`causal`] | the model that cells hold |
//! | [`labels`], [`classifier`] | the same layers with a score for each label: classes, or a reward |
//! | `quantize` | the same model in fewer bits |
//!
//! Imports: compute, error, util, border, nn, tokenizer.

mod assemble;
pub mod causal;
pub mod classifier;
pub mod config;
pub mod decoder;
pub mod family;
pub mod labels;
pub mod llama;
pub mod neox;
pub mod phi;
pub(crate) mod quantize;
