//! A name of a model or a data set → files: `builtin:`, a path, or a repository of the hub.
//!
//! [`builtin`] knows what ships with the repository, [`resolve`] asks all three in that order. Which files of a data set belong
//! together says `layout`, with the patterns of `glob` and the card that `configs` reads; what may be meant otherwise says
//! `doubts`.
//!
//! Imports: error, util, border, hub.

pub mod builtin;
mod configs;
mod doubts;
mod glob;
pub(crate) mod layout;
pub mod resolve;
