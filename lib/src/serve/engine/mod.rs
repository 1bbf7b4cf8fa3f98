//! Jobs of many clients → their tokens, all in one batch: [`job`] is what is asked and answered, [`batcher`] the thread that
//! writes, [`detokenizer`] makes text of ids, [`metrics`] counts.
//!
//! Imports: error, util, tokenizer, generate.

pub(crate) mod metrics;
pub(crate) mod detokenizer;
pub(crate) mod job;
pub(crate) mod batcher;
