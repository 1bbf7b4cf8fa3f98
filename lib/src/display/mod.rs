//! Values → what a cell or a terminal shows: HTML, tables, pictures and live displays.
//!
//! [`output`] sends it, [`side_by_side`] sets answers beside each other, [`progress`] follows a loop, `raster` draws the PNG images of the feature `plot`.
//!
//! Imports: nothing.

pub mod output;
pub mod progress;
#[cfg(feature = "plot")]
pub(crate) mod raster;
pub mod side_by_side;
