//! The Jupyter kernel of the lessons, and the launcher that sets everything up.

pub mod kernel;
pub mod lab;
