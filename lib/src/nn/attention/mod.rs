//! Query, key and value columns → context rows: fused on the CPU, composed of candle's operations elsewhere.

pub mod composed;
pub mod fused;
