//! Files → rows of text fields, in memory or one by one.
//!
//! [`example`] is a row, [`message`] a turn of a conversation in it, [`shape`] what its columns mean. [`jsonl`] and `parquet` are its files, [`stream`] reads several of them, [`dataset`] holds all
//! rows, `frame` shows them as a polars table, [`split`] shuffles as NumPy does, [`load`] finds them by name.
//! `parquet` and `frame` belong to the feature `data-frames`.
//!
//! Imports: error, util, border, display, hub, source.

pub mod example;
pub mod message;
pub mod shape;
pub mod jsonl;
#[cfg(feature = "data-frames")]
pub mod parquet;
pub mod stream;
pub mod split;
pub mod dataset;
#[cfg(feature = "data-frames")]
mod frame;
pub mod load;
