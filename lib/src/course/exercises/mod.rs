//! What a learner hands in → whether an exercise is solved, a hint where it is not, and a note in the progress file.
//!
//! [`mod@check`] is what cells call. An exercise is a small value ([`exercise`]) that looks at what was handed in ([`answer`]) by its
//! behaviour on inputs that the learner does not see, or by a hash; [`list`] has all of them, in a file for each lesson. None of them
//! says or shows what is right.
//!
//! Imports: border, data, error, evaluate, quality, source, train, util.

pub mod answer;
pub mod exercise;
pub mod progress;

pub mod why;
pub mod places;
pub mod instructions;
pub mod preparation;
pub mod training;
pub mod evaluation;
pub mod considerations;
pub mod own;

pub mod list;

pub mod check;
