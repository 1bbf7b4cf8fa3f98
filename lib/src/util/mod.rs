//! What every room needs and none owns: the interrupt flag, locks of folders, checksums, the random generator.
//!
//! Imports: error.

pub mod crc32c;
pub mod interrupt;
pub mod lock;
pub mod memory;
pub mod rng;
