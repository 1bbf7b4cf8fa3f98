//! A regular expression of others → whether it fits the whole of a name, as `re.fullmatch` of Python says.
//!
//! The engine is the tokenizers': it stops by itself where an expression would go on for ever.

use tokenizers::utils::SysRegex;

use crate::border::guard::guarded;
use crate::error::{Error, ErrorKind, Result};
use crate::util::names::{beginning, quoting};

/// Letters of an expression: one that lists a thousand matrices has 50,000.
const LONGEST: usize = 1 << 16;

/// A regular expression that has been read.
#[derive(Debug)]
pub struct Pattern(SysRegex);

impl Pattern {
    /// Reads an expression; `field` is where it stands.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] for one that is longer than 65,536 letters, or none.
    pub fn new(field: &str, expression: &str) -> Result<Self> {
        let refuse = |reason: String| {
            Error::new(ErrorKind::Model, format!("{field} has the regular expression `{}`: {reason}", beginning(expression)))
                .hint("write it as Python's `re` reads it, such as `.*\\.q_proj`")
        };
        if expression.len() > LONGEST {
            return Err(refuse(format!("{} letters; {LONGEST} are allowed", expression.len())));
        }
        let read = || SysRegex::new(&format!("\\A(?:{expression})\\z")).map(Self).map_err(|error| refuse(quoting(error)));
        guarded(ErrorKind::Model, field, read)
    }

    /// Whether it fits the whole name.
    pub fn fits(&self, name: &str) -> bool {
        self.0.find_iter(name).next().is_some()
    }
}
