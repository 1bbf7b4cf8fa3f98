//! Answers and targets → scores.

pub mod answers;
pub mod similarity;
