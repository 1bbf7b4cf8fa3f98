//! A name of a model or a data set → files: `builtin:`, a path, or a repository of the hub.
//!
//! Imports: error, hub.

pub mod builtin;
pub mod resolve;
