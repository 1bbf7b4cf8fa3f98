//! What is said to the user, and what the user's text says.
//!
//! In: the text of a cell, errors of rustc, panics, bytes for a terminal. Out: directives, names at a cursor, tracebacks,
//! pictures. Nothing here knows sockets or processes.
//! Imports: syntax.

pub mod about;
pub mod again;
pub mod completeness;
pub mod cursor;
pub mod dependency;
pub mod depth;
pub mod diagnostic;
pub mod directive;
pub mod display;
pub mod errors;
pub mod lost;
pub mod magic;
pub mod moves;
pub mod panic;
pub mod places;
pub mod report;
pub mod rules;
pub mod screen;
pub mod warnings;
pub mod width;
