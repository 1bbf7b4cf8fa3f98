//! Files → rows of named fields, in memory or one by one.
//!
//! [`example`] is a row, [`message`] a turn of a conversation in it. [`jsonl`] and `parquet` are its files, [`stream`] reads
//! several of them, [`split`] shuffles as NumPy does, [`dataset`] holds all rows, [`operations`] and [`combine`] make others of
//! them, `frame` shows them as a polars table, [`load`] finds them by name. [`template`] makes a text of a row, [`shape`] says
//! what its columns mean (`conversation` and `pair` read them), [`detect`] the same of a whole data set.
//! `parquet` and `frame` belong to the feature `data-frames`.
//!
//! Imports: error, util, display, hub, source.

pub mod example;
pub mod message;
pub mod jsonl;
#[cfg(feature = "data-frames")]
pub mod parquet;
pub mod stream;
pub mod split;
pub mod dataset;
pub mod operations;
pub mod combine;
pub mod template;
mod conversation;
mod pair;
pub mod shape;
pub mod detect;
#[cfg(feature = "data-frames")]
mod frame;
pub mod load;
