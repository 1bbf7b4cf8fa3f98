//! Text ↔ ids: [`text`] encodes and decodes, [`template`] joins a row's prompt and completion, [`chat`] lays out conversations,
//! [`encode`] turns rows into training tokens as the course does, [`rows`] those of any shape, by [`options`], [`blocks`] texts into
//! rows of one length; [`preview`] shows a row as the model reads it; [`gguf`] reads a tokenizer of llama.cpp's files, `export` writes one.
//!
//! Imports: error, util, border, display, data.

pub mod blocks;
pub mod chat;
pub mod encode;
pub mod gguf;
pub(crate) mod export;
mod jinja;
pub mod options;
pub mod preview;
mod published;
pub mod rows;
pub mod template;
pub mod text;
mod tojson;
mod turns;
