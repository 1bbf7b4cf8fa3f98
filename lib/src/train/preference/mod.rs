//! Pairs of answers → a model that prefers the chosen ones (DPO).
//!
//! [`pair`] makes ids of the texts, [`objective`] micro-batches of the ids, [`trainer`] is [`crate::train::trainer`] with that
//! objective, under the names of TRL.
//!
//! Imports: data, error, models, nn, tokenizer, util.

pub mod objective;
pub mod pair;
pub mod trainer;
