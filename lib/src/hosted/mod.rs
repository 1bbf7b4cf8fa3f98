//! Prompts → answers of a model that another program serves: [`client`] is one request, [`model`] asks many at once, and again.
//!
//! Imports: error, util, data, generate.

pub mod client;
pub mod model;
