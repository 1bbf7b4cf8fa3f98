//! A cell ↔ the front end: [`comm`] is a channel both ways, [`frame`] shows tables and pictures.
//!
//! Imports: error, util, display, source.

pub mod comm;
pub mod frame;
