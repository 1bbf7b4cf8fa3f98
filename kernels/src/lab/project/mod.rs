//! The cells of a notebook → a cargo project, built of what is built.
//!
//! In: the text of cells, and where they and the project lie. Out: the text of a program and its manifest, the files that it reads, and
//! a folder of builds in which cargo finds the companion.
//! Imports: syntax.

pub mod files;
pub mod manifest;
pub mod program;
pub mod seed;
pub mod served;
