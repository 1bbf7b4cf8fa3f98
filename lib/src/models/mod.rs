//! A configuration and weights → a decoder: one folder a family, one page of code each.
//!
//! Imports: error, nn.

pub mod causal;
pub mod config;
pub mod decoder;
pub mod llama;
pub mod neox;
pub mod phi;
mod quantize;
