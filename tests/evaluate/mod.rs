//! Two models on the same rows: which is better, and what so many rows can show.

pub mod compared;
pub mod encoder;
pub mod probable;
