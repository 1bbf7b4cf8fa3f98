//! Rows → what is wrong with them, a mended copy, and a split without leaks: look before you train.
//!
//! [`options`] say what to look for, `rows` reads the two sides of a row, [`finding`] is one thing that was found. Found by:
//! `near` (rows that are nearly the same), `duplicates` (within the rows, and between training and test), `encoding` (damaged
//! text), `personal` and `secrets` (what should not be learnt), [`sensitive`] (both, and masks), `language`, `answers`
//! (lengths, repeats, labels, refusals). [`report`] is all of it on one page, [`repair`] the mended copy, [`split`] the split.
//!
//! Imports: error, util, display, data, tokenizer.

mod answers;
mod duplicates;
mod encoding;
pub mod finding;
mod language;
mod near;
pub mod options;
mod personal;
pub mod repair;
pub mod report;
mod rows;
mod secrets;
pub mod sensitive;
pub mod split;
