//! Token rows → a trained model: [`trainer`] is the loop, every other file is one of its parts.

pub mod arguments;
pub mod batch;
pub mod callback;
pub mod checkpoint;
pub mod evaluation;
pub mod log;
pub mod preference;
pub mod step;
pub mod trainer;
