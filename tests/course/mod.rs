//! What the lessons call: the runner, and what a learner must see.

pub mod runner;
pub mod teaching;
