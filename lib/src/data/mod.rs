//! Files → rows: [`example`], its formats [`jsonl`] and [`parquet`], their [`stream`], the [`dataset`], and the
//! NumPy-identical [`split`]; [`load`] finds them by name.

pub mod example;
pub mod jsonl;
pub mod parquet;
pub mod stream;
pub mod split;
pub mod dataset;
pub mod load;
