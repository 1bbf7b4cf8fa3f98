//! Text ↔ ids: [`text`] encodes and decodes, [`template`] joins a row's prompt and completion, [`chat`] lays out conversations,
//! [`encode`] turns rows into training tokens, [`preview`] shows a row as the model reads it.
//!
//! Imports: error, util, border, display, data.

pub mod chat;
pub mod encode;
pub mod gguf;
pub mod preview;
pub mod template;
pub mod text;
