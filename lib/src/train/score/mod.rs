//! Texts with labels, or pairs of answers → a model that scores texts.
//!
//! | file | what it holds |
//! |---|---|
//! | [`labelled`] | a text and its label, as ids |
//! | `sequence` | ids → a row whose last token is scored |
//! | [`classification`] | which of some labels a text has |
//! | [`reward`] | how good an answer is, learnt of pairs |
//!
//! One matrix serves both: [`crate::models::classifier`].
//!
//! Imports: data, error, models, tokenizer, util.

pub mod classification;
pub mod labelled;
pub mod reward;
pub(crate) mod sequence;
