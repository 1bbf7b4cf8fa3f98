//! GPT-NeoX (Black et al. 2022): [`config`] reads its `config.json`, [`model`] is the page of its layers.
//!
//! Imports: compute, nn.

pub mod config;
pub mod model;
