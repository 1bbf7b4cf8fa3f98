//! A repository of the hub ↔ local files: transfers with resume and checksums, and the cache.
//!
//! The cache is shared with Python's `huggingface_hub`, and so are the environment variables (see [`options`]).
//! Imports: error, util, display.

pub(crate) mod card;
mod client;
mod digest;
pub(crate) mod failure;
mod fetch;
mod meter;
pub(crate) mod name;
pub mod options;
mod payload;
pub mod push;
pub(crate) mod repository;
