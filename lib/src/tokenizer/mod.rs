//! Text ↔ ids: [`text`] encodes and decodes, [`template`] fills prompts, [`encode`] turns rows into training tokens.

pub mod encode;
pub mod template;
pub mod text;
