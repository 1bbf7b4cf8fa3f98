//! Training runs → what the playground shows: [`runs`] is read by the page, `page.html`.
//!
//! Imports: train, border, error.

pub(crate) mod runs;
