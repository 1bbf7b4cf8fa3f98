//! Before a run → what it will need, and a learning rate that suits it.
//!
//! [`rate`] finds the rate by a short run on a copy of the model; [`plan`] tells steps, tokens, memory and time by a few steps
//! that change nothing.
//!
//! Imports: display, error, models, optim, tokenizer, util.

pub mod plan;
pub mod rate;
