//! Calls of the operating system, behind safe functions: all `unsafe` of this crate.
//!
//! In: numbers of processes and descriptors, paths. Out: what the system answers. Each `unsafe` block says why it is sound.
//! Imports: nothing.

pub mod descriptor;
pub mod library;
pub mod machine;
pub mod process;
pub mod standstill;
pub mod terminal;
