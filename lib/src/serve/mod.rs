//! Models → an OpenAI-compatible service with a playground.

pub mod config;
pub(crate) mod engine;
pub mod http;
pub(crate) mod page;
