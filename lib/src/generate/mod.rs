//! A prompt and a model → text: [`config`] is what is asked, [`sampler`] chooses a token, [`sequence`] is one text in the
//! making, `decode` the one loop, [`batch`] the calls for one text, many, and a stream, [`ask`] those for conversations, [`next`] one step
//! in probabilities, `beams` the
//! search among several continuations, [`stream`] the text of ids as they come.
//!
//! Imports: compute, error, util, border, data, tokenizer, models.

pub mod config;
pub mod sampler;
pub mod sequence;
pub mod stream;
pub(crate) mod decode;
pub(crate) mod beams;
pub mod batch;
pub mod ask;
pub mod next;
