//! Training runs → what the playground shows: [`runs`] is read by the page, `page.html`.
//!
//! Imports: train.

pub(crate) mod runs;
