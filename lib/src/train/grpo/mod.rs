//! Prompts and a reward of the caller's own → a model whose answers earn more: group relative policy optimization (GRPO).
//!
//! | file | what it holds |
//! |---|---|
//! | [`rollouts`] | answers to a prompt and their rewards → sequences with weights |
//! | [`objective`] | prompts → answers that the model writes, and what they earn |
//! | [`trainer`] | [`crate::train::trainer`] with that objective, under the names of TRL |
//!
//! Imports: data, error, generate, models, tokenizer.

pub mod objective;
pub mod rollouts;
pub mod trainer;
