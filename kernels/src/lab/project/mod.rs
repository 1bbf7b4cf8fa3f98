//! The cells of a notebook → a cargo project.
//!
//! In: the text of cells, and where they and the project lie. Out: the text of a program and its manifest.
//! Imports: syntax.

pub mod manifest;
pub mod program;
