//! Training: trajectories, options, the files of a run, faults, forecasts, interrupts, objectives, bad input.

pub mod bad_input;
pub mod chats;
pub mod custom_loss;
pub mod event_files;
pub mod faults;
pub mod forecast;
pub mod grpo;
pub mod interrupt;
pub mod interruptions;
pub mod labels;
pub mod objectives;
pub mod options;
pub mod packing;
pub mod preference_runs;
pub mod preferences;
pub mod run_ends;
pub mod run_files;
pub mod scores;
pub mod suits;
pub mod trajectories;
