//! A name → a model; a model → a folder or a repository.
//!
//! | file | what it holds |
//! |---|---|
//! | [`auto`] | a name → a tokenizer or a model |
//! | [`save`] | a model → a checkpoint folder, and back into the same model |
//! | [`mod@gguf`] | a model or an adapter → a `.gguf` file for llama.cpp and Ollama |
//! | `modelfile` | the file beside it that Ollama reads |
//! | [`extend`] | a model and a tokenizer → the same with more special tokens and a chat template |
//! | [`available`] | names → the first whose model is on this machine |
//! | `publish` | a model or a data set → a repository of the hub, with the feature `hub` |
//!
//! Imports: error, util, border, hub, nn, source, data, tokenizer, models, formats, generate, lora.

pub mod auto;
pub mod available;
#[cfg(feature = "hub")]
pub mod publish;
pub mod save;
pub mod extend;
mod modelfile;
pub mod gguf;
