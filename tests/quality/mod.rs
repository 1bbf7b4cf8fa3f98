//! The quality of rows: what a report finds and what it does not, the mended copy, the split without leaks.

pub mod repairs;
pub mod reports;
pub mod sensitive;
pub mod sizes;
pub mod splits;
