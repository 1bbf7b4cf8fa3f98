//! The words of a call of rustc → the files of the dependencies, and when each was made.

use std::ffi::OsString;
use std::time::UNIX_EPOCH;

/// A crate that a cell may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    pub name: String,
    pub path: String,
    /// When the file was written, in nanoseconds.
    pub made: String,
}

/// All dependencies that the words name with a file.
pub fn dependencies(words: &[OsString]) -> Vec<Dependency> {
    let named = words.windows(2).filter(|pair| pair[0] == "--extern").filter_map(|pair| pair[1].to_str()?.split_once('='));
    let dependency = |(name, path): (&str, &str)| {
        let made = std::fs::metadata(path).and_then(|file| file.modified()).ok().and_then(|made| made.duration_since(UNIX_EPOCH).ok());
        // In front of a colon stand options.
        let name = name.rsplit(':').next().unwrap_or(name).to_string();
        Dependency { name, path: path.to_string(), made: made.unwrap_or_default().as_nanos().to_string() }
    };
    named.map(dependency).collect()
}
