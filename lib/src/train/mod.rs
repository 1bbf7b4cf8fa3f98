//! Tokens → a trained model: [`trainer`] is the loop, every other file is one of its parts.

pub mod arguments;
pub mod arguments_json;
pub mod batch;
pub mod callback;
pub mod checkpoint;
pub mod config;
pub mod crc32c;
pub mod curve;
pub mod dpo;
pub mod history;
pub mod lock;
pub mod loss_scale;
pub mod manifest;
pub mod meter;
pub mod optimizer;
pub mod preference;
pub mod schedule;
pub mod state;
pub mod step;
pub mod tensorboard;
pub mod trainer;
pub mod update;
pub mod update_composed;
pub mod validate;
pub mod validation;
