//! A request → its answer: [`server`] listens, `connection` bounds who is heard, `guard` who may ask, `routes` answers,
//! `service` is what all answers share; `request` reads `fields` of JSON, `reply` writes JSON, `refusal` says why not.
//!
//! Imports: error, util, border, display, data, tokenizer, generate.

mod refusal;
mod fields;
mod service;
mod connection;
mod guard;
mod request;
mod reply;
mod routes;
pub mod server;
