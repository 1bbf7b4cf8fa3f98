//! The hub: its cache, downloads that fail, uploads, and a hub on this machine that fails on request.

pub mod cache;
pub mod download;
pub mod push;
pub mod server;
pub mod wire;
