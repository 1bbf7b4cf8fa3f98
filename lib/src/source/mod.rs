//! A name of a model or a data set → files: `builtin:`, a path, or a repository of the hub.
//!
//! [`builtin`] knows what ships with the repository, [`resolve`] asks all three in that order.
//!
//! Imports: error, util, hub.

pub mod builtin;
pub mod resolve;
