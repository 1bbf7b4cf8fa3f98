//! Files and texts of others → bytes and values within named limits, or an error that says which limit and where.
//!
//! [`limits`] names how large what may be, and why; [`mod@file`] reads no more than that, [`json`] no deeper. [`guard`] turns the
//! panic of a library on damaged bytes into our error, [`stack`] keeps deep values from ending the process, [`template`] refuses
//! a chat template that only its depth makes dangerous. [`gguf`] and `pages` walk through a file's declared counts before a
//! library allocates for them, [`tensors`] reads named tensors of a known size, [`pattern`] a regular expression.
//!
//! Every file that another program may have written is opened here; a new format adds its limits and its walk.
//!
//! Imports: error, util.

pub mod file;
pub mod gguf;
pub mod guard;
pub mod json;
pub mod limits;
#[cfg(feature = "data-frames")]
pub mod pages;
pub mod pattern;
pub mod stack;
pub mod template;
pub mod tensors;
