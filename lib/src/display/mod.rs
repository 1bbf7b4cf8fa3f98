//! Values → what a cell or a terminal shows: HTML, tables, pictures and live displays.
//!
//! Imports: error.

pub mod output;
pub(crate) mod raster;
