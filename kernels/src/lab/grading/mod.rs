//! Folders of learners → who solved what: [`learner`] reads one, [`rerun`] runs its notebooks, [`book`] is the table of all.
//!
//! In: progress files and notebooks that anybody may have written. Out: marks, and notes on what does not fit together.
//! Imports: client.

pub mod number;

pub mod learner;

pub mod rerun;

pub mod book;
