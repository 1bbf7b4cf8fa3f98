//! What every room needs and none owns → the interrupt flag, whole files, locks of folders, names in messages, checksums.
//!
//! [`interrupt`] ends a long loop, [`mod@write`] replaces a file, [`lock`] keeps a second process out of a folder, `names`
//! words lists and near misses, `notice` tells what is no failure, [`mod@panic`] turns a thread's panic into an error,
//! [`rng`] is the one random generator, [`crc32c`] checks bytes, [`memory`] and [`host`] ask the machine.
//!
//! Imports: error.

pub mod crc32c;
pub mod host;
pub mod interrupt;
pub mod lock;
pub mod memory;
pub(crate) mod names;
pub(crate) mod notice;
pub mod panic;
pub mod rng;
pub mod write;
