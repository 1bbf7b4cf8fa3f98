//! What a run is told.
//!
//! [`settings`] are the fields, [`check`] says which values cannot work, [`suited`] changes them for few rows, [`json`] writes and
//! reads the file.
//!
//! Imports: error, nn, optim, util, border, data.

pub mod check;
pub mod json;
pub mod settings;
pub mod suited;
