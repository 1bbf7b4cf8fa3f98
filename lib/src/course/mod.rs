//! The course's helpers, a name → something to ask, train and evaluate: [`runner`] for every model, [`config`] and [`job`] for its
//! training, [`samples`] for answers meanwhile, [`tournament`] for the best of several.
//!
//! Imports: error, util, border, display, hub, source, data, tokenizer, models, generate, train, evaluate, hosted, pretrained, serve.

pub mod config;
pub mod job;
pub mod runner;
pub mod samples;
pub mod tournament;
