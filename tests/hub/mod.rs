//! The hub: its cache, downloads that fail and uploads.

pub mod cache;
pub mod download;
pub mod push;
