//! Text ↔ ids: [`text`] encodes and decodes, [`template`] fills prompts, [`chat`] lays out conversations, [`encode`] turns rows
//! into training tokens.
//!
//! Imports: error, util, border, data.

pub mod chat;
pub mod encode;
pub mod gguf;
pub mod template;
pub mod text;
