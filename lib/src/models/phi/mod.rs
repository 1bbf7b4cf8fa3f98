//! Phi (Gunasekar et al. 2023; Li et al. 2023): [`config`] reads its `config.json`, [`model`] is the page of its layers.
//!
//! Imports: compute, nn.

pub mod config;
pub mod model;
