//! Query, key and value columns → context rows: fused on the CPU, composed of candle's operations elsewhere.
//!
//! | file | what it holds |
//! |---|---|
//! | [`shape`] | where sequences and heads stand in rows |
//! | [`cache`] | keys and values of earlier positions |
//! | [`fused`] | all of it as one operation, on the CPU |
//! | [`kernel`] | heads and softmax by our kernels for a GPU |
//! | [`composed`] | all of it from candle's operations, and the kernels where there are some |
//! | [`call`] | the one that the backend chooses |
//!
//! Imports: compute.

pub mod cache;
pub mod call;
pub mod composed;
pub mod fused;
pub mod kernel;
pub mod shape;
