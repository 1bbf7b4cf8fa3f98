//! A request → its answer: [`server`] listens, `routes` answers.

mod guard;
mod refusal;
mod reply;
mod request;
mod routes;
pub mod server;
