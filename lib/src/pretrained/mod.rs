//! A name → a model; a model → a repository.

pub mod publish;
