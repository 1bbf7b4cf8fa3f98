//! Training: trajectories, options, the files of a run, faults, forecasts, interrupts, preferences, bad input.

pub mod bad_input;
pub mod chats;
pub mod event_files;
pub mod faults;
pub mod forecast;
pub mod interrupt;
pub mod labels;
pub mod options;
pub mod packing;
pub mod preference_runs;
pub mod preferences;
pub mod run_ends;
pub mod run_files;
pub mod suits;
pub mod trajectories;
