//! A model and questions → scores: [`metrics`] compares two texts, [`report`] holds the answers that [`answers`] asks for, as `question` reads them of rows,
//! [`errors`] sorts what is wrong with them, [`choice`] asks among given answers, [`similarity`] is how alike words of texts are, [`encoder`] how alike
//! their meanings.
//!
//! Two models → whether one is better: [`paired`] tests right and wrong, [`bootstrap`] any score, [`resolution`] says what so many
//! rows can show, [`judge`] lets a model decide, whose words [`verdict`] reads.
//!
//! Imports: compute, error, util, border, display, hub, nn, source, data, tokenizer, models, formats, generate.

mod binomial;
mod bert;
mod question;
pub mod metrics;
pub mod report;
pub mod answers;
pub mod errors;
pub mod choice;
pub mod similarity;
pub mod encoder;
pub mod paired;
pub mod bootstrap;
pub mod resolution;
pub mod verdict;
pub mod judge;
