//! A name → a model; a model → a repository.

#[cfg(feature = "hub")]
pub mod publish;
