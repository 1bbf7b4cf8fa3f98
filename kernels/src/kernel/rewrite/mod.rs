//! The crate that evcxr generates for a cell → the crate that rustc compiles, line by line the same.
//!
//! In: the text of a cell, the source that evcxr makes of it, and what lives in the process of the cells. Out: the source with a
//! key of its type beside each variable, statics that live already declared as foreign, types that were changed in modules of
//! their own, superseded `impl` blocks left out, macros first, a look at the interrupt in loops, marks around a display, places as
//! those of the cells, and dependencies linked once for all cells; and a record of what the cell defines, which the process of the
//! cells takes over when it loads it.
//! Imports: messages, syntax, system.

pub mod record;

mod edits;
mod tokens;

mod condition;
pub mod calls;
mod lazies;

pub mod cell;

mod dependencies;
mod items;

mod impls;
mod macros;
mod polls;

mod callers;
mod catches;
mod displays;
mod lines;
mod statics;
mod types;
mod variables;

mod source;

mod libraries;

pub mod rustc;
