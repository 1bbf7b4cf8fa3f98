//! Text to ids and back, chat templates, tokenizers inside of `.gguf` files.

pub mod chat;
pub mod gguf;
pub mod tokens;
