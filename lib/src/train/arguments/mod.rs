//! What a run is told: the [`settings`], their check and their JSON.

pub mod check;
pub mod json;
pub mod settings;
