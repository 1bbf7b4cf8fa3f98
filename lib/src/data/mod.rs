//! Files → rows: [`example`], [`dataset`], [`jsonl`] and the NumPy-identical [`split`].

pub mod dataset;
pub mod example;
pub mod jsonl;
pub mod split;
