//! The course's helpers, a name → something to ask, train and evaluate: [`runner`] for every model, [`config`] and [`job`] for its
//! training, [`samples`] for answers meanwhile, [`kinds`] for a test's kinds of rows, [`tournament`] for the best of several, [`exercises`] for what a learner does.
//!
//! Imports: error, util, border, display, hub, nn, source, data, tokenizer, quality, models, generate, train, evaluate, hosted, pretrained, serve.

pub mod config;
pub mod job;
pub mod kinds;
mod local;
pub mod runner;
pub mod samples;
pub mod tournament;

pub mod exercises;
