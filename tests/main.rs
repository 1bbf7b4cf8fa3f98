//! The course from outside: fixtures of the Python stack, equations between two ways of computing, bad input, learning.

mod adapters;
mod architecture;
mod bad_input;
mod chat;
mod event_files;
mod families;
mod formats;
mod faults;
mod generation;
mod gradients;
mod hub;
mod hub_download;
mod hub_push;
mod hub_server;
mod hub_wire;
mod interrupt;
mod invariance;
mod operations;
mod options;
mod parity;
mod preferences;
mod run_files;
mod support;
mod teaching;
mod tokens;
mod trajectories;
