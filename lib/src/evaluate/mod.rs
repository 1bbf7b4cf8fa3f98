//! A model and questions → scores: [`metrics`] compares two texts, [`report`] holds the answers that [`answers`] asks for,
//! [`errors`] sorts what is wrong with them, [`choice`] asks among given answers, [`similarity`] is how alike texts are.
//!
//! Imports: compute, error, util, display, data, tokenizer, models, generate.

pub mod metrics;
pub mod report;
pub mod answers;
pub mod errors;
pub mod choice;
pub mod similarity;
