//! The Jupyter messaging protocol, without a word of Rust.
//!
//! In: signed frames of the sockets, contents to send. Out: requests, and messages on the wire in their order; with them
//! the history of cells and the comms, which have requests of their own.
//! Imports: interrupt, lock, messages, process, system.

pub mod connection;

pub mod passage;

pub mod gate;
pub mod wire;

pub mod flow;
pub mod iopub;

pub mod comms;
pub mod history;
pub mod stdin;
