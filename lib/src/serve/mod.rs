//! Models → an OpenAI-compatible service with a playground: [`config`] is what is served, `engine` writes, [`http`] speaks with
//! clients, `page` is the playground.
//!
//! Imports: error, util, border, display, tokenizer, models, generate, train, pretrained.

pub mod config;
pub(crate) mod engine;
pub(crate) mod page;
pub mod http;
