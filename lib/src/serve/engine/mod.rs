//! Token ids of many clients → their next tokens, all in one batch.

pub(crate) mod batcher;
pub(crate) mod metrics;
pub(crate) mod tokens;
