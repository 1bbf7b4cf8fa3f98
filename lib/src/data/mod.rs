//! Files → rows of typed fields, in memory or one by one.
//!
//! [`example`] is a row, [`message`] a turn of a conversation in it. A file is opened by `input`, which asks [`mod@format`] what
//! it is; [`jsonl`], `document` (.json), `delimited` (.csv), [`plain`] (.txt), `workbook` (.xlsx) and `parquet` read it, on `lines`, `json` with its `literal`, `scan`
//! and `records`; [`bad`] is a row that cannot be read. [`stream`] reads several files, [`split`] shuffles as NumPy does,
//! [`dataset`] holds all rows, [`operations`] and [`combine`] make others of them, `save` writes them (`columns` as .parquet), `frame` shows them as a
//! polars table, `slice` cuts splits, [`load`] finds them by name with [`options`]. [`template`] makes a text of a row, [`shape`]
//! says what its columns mean (`conversation` and `pair` read them), [`detect`] the same of a whole data set, `dialogue` makes a chat of a row.
//! `parquet`, `workbook`, `columns` and `frame` belong to the feature `data-frames`.
//!
//! Imports: error, util, border, display, hub, source.

pub mod example;
pub mod message;
pub mod bad;
pub(crate) mod json;
mod literal;
mod lines;
pub mod format;
mod input;
pub mod jsonl;
mod scan;
mod document;
mod records;
mod delimited;
pub mod plain;
#[cfg(feature = "data-frames")]
pub mod parquet;
#[cfg(feature = "data-frames")]
mod workbook;
pub mod options;
pub mod stream;
pub mod split;
mod slice;
pub mod dataset;
pub mod operations;
pub mod combine;
#[cfg(feature = "data-frames")]
mod columns;
mod save;
pub mod template;
pub(crate) mod conversation;
mod pair;
pub mod shape;
pub mod detect;
pub(crate) mod dialogue;
#[cfg(feature = "data-frames")]
mod frame;
pub mod load;
