//! A cell ↔ the front end: comms and pictures of data frames.

pub mod comm;
pub mod frame;
