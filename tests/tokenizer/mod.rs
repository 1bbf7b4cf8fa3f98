//! Text to ids and back, chat templates, rows of any shape as training tokens, tokenizers inside of `.gguf` files.

pub mod blocks;
pub mod chat;
pub mod gguf;
pub mod masks;
pub mod rows;
pub mod tokens;
