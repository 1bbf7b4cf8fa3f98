//! What every room needs and none owns: the interrupt flag, locks of folders, checksums, the random generator, panics as errors.
//!
//! Imports: error.

pub mod crc32c;
pub mod interrupt;
pub mod lock;
pub mod memory;
pub mod panic;
pub mod rng;
