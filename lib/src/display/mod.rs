//! Values → what a cell or a terminal shows: HTML, tables, pictures and live displays.
//!
//! [`output`] sends it, [`side_by_side`] sets answers beside each other, [`progress`] follows a loop, `picture` is a drawing for every viewer, whose PNG the feature `plot` draws with `raster`.
//!
//! Imports: util.

pub mod output;
pub(crate) mod picture;
pub mod progress;
#[cfg(feature = "plot")]
pub(crate) mod raster;
pub mod side_by_side;
