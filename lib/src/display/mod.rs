//! Values → what a cell or a terminal shows: HTML, tables, pictures and live displays.
//!
//! [`output`] sends it, `raster` draws the PNG images of the feature `plot`.
//!
//! Imports: nothing.

pub mod output;
#[cfg(feature = "plot")]
pub(crate) mod raster;
