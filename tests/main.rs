//! The course from outside: fixtures of the Python stack, equations between two ways of computing, bad input, learning.

mod adapters;
mod architecture;
mod bad_input;
mod families;
mod gradients;
mod hub;
mod interrupt;
mod invariance;
mod operations;
mod parity;
mod preferences;
mod support;
mod teaching;
mod tokens;
mod trajectories;
