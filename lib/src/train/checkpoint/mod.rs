//! A run ↔ a folder that it goes on from.

pub mod history;
pub mod manifest;
pub mod state;
pub mod store;
