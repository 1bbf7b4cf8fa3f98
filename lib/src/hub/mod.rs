//! A repository of the hub ↔ local files: transfers with resume and checksums, and the cache.
//!
//! [`options`] is what a caller says, `environment` what the environment adds, `name` what can be a repository. With the
//! feature `hub`: `repository` knows which files are needed, `fetch` brings one, [`push`] publishes a folder with its
//! `card`; below them `client` sends a request with its `payload`, `trouble` says what was asked for and why there was no
//! answer, `failure` words that, `digest` checks and `meter` shows progress.
//!
//! The cache is shared with Python's `huggingface_hub`, and so are the environment variables.
//!
//! Imports: error, util, border, display.

#[cfg(feature = "hub")]
pub(crate) mod card;
#[cfg(feature = "hub")]
mod client;
#[cfg(feature = "hub")]
mod digest;
#[cfg(feature = "hub")]
mod environment;
#[cfg(feature = "hub")]
mod failure;
#[cfg(feature = "hub")]
mod fetch;
#[cfg(feature = "hub")]
mod meter;
pub(crate) mod name;
pub mod options;
#[cfg(feature = "hub")]
mod payload;
#[cfg(feature = "hub")]
pub mod push;
#[cfg(feature = "hub")]
pub(crate) mod repository;
#[cfg(feature = "hub")]
pub(crate) mod trouble;
