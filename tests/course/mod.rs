//! What the lessons call: the runner, what a learner must see, and what a learner must do.

pub mod adapters;
pub mod chat;
pub mod exercises;
pub mod recipe;
pub mod rows;
pub mod runner;
pub mod stories;
pub mod teaching;
