//! What the playground reads of training runs.

pub(crate) mod runs;
