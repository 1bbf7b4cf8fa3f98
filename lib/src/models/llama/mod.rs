//! Llama (Touvron et al. 2023) and its relatives: [`config`] reads its `config.json`, [`model`] is the page of its layers.
//!
//! Imports: compute, nn.

pub mod config;
pub mod model;
