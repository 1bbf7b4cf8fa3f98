//! A moment of a run → what should happen next.
//!
//! [`trainer_callback`] is the trait and what it sees, [`early_stopping`] the one callback that settings can ask for.
//!
//! Imports: error, models.

pub mod early_stopping;
pub mod trainer_callback;
