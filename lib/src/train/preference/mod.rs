//! Answers that are better or worse → a model that prefers the better ones.
//!
//! | file | what it holds |
//! |---|---|
//! | [`pair`] | two answers to a prompt, as ids |
//! | `score` | rows → sums of log probabilities |
//! | [`loss`], [`objective`], [`trainer`] | DPO and its losses: the answers of a pair beside a reference |
//! | [`orpo`], [`orpo_trainer`] | ORPO: the answers of a pair, without a reference |
//! | [`unpaired`], [`kto`], [`kto_trainer`] | KTO: single answers, good or bad, beside a reference |
//! | `check` | what cannot work |
//!
//! A trainer is [`crate::train::trainer`] with an objective of these, under the names of TRL.
//!
//! Imports: data, error, models, nn, tokenizer, util.

pub(crate) mod check;
pub mod kto;
pub mod kto_trainer;
pub mod loss;
pub mod objective;
pub mod orpo;
pub mod orpo_trainer;
pub mod pair;
pub(crate) mod score;
pub mod trainer;
pub mod unpaired;
