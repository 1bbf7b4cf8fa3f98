//! A run ↔ a folder that it goes on from.
//!
//! [`store`] writes and reads the folder, whole or not at all; [`manifest`] finds damage, [`history`] are the steps, [`state`]
//! is what transformers keeps of a run.
//!
//! Imports: error, models, optim, util, border, data.

pub mod history;
pub mod manifest;
pub mod state;
pub mod store;
