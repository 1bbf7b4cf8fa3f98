//! Models → an OpenAI-compatible service with a playground: [`server`] listens, [`routes`] answers, [`engine`] writes all
//! texts of a model together.
//!
//! `request` reads what a client asks, `reply` writes what it gets, `refusal` says why it gets nothing; `guard` decides who may
//! ask, `metrics` counts, `runs` reads the training runs that the page shows.

pub mod config;
pub(crate) mod engine;
mod guard;
mod metrics;
mod refusal;
mod reply;
mod request;
mod routes;
mod runs;
pub mod server;
mod tokens;
