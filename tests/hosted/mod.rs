//! Models behind a service.

pub mod service;
