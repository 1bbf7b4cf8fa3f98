//! Reports of a finished run → charts to explore; all that knows plotly.
//!
//! [`chart`] is the loss of a run; a live one is drawn by [`crate::train::log::curve`], without plotly.
//!
//! Imports: display, train.

pub mod chart;
