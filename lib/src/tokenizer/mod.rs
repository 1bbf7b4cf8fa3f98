//! Text ↔ ids: [`text`] encodes and decodes, [`template`] fills prompts, [`chat`] lays out conversations, [`encode`] turns rows
//! into training tokens as the course does, [`rows`] those of any shape, by [`options`].
//!
//! Imports: error, util, data.

pub mod chat;
pub mod encode;
pub mod gguf;
mod jinja;
pub mod options;
pub mod rows;
pub mod template;
pub mod text;
mod tojson;
mod turns;
