//! The course's helpers: one runner for every model, its jobs and its tournaments.

pub mod config;
pub mod job;
pub mod runner;
pub mod samples;
pub mod tournament;
