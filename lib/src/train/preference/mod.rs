//! Pairs of answers → a model that prefers the chosen ones (DPO).

pub mod pair;
pub mod trainer;
