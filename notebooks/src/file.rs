//! An .ipynb file that anybody may have written → a notebook; what is no file or larger than any notebook is refused.

use std::io::Read;
use std::path::Path;

use crate::ipynb::Notebook;

/// The most bytes of a notebook: one full of pictures has some 50 MB.
const LARGEST: u64 = 256 << 20;

/// The most values in it, each of which takes many times its text.
const MOST: usize = 1 << 24;

impl Notebook {
    /// Reads an .ipynb file; a device or a pipe, and what is larger than any notebook, are refused.
    ///
    /// # Errors
    /// The file, and why it is no notebook.
    pub fn open(path: &Path) -> Result<Notebook, String> {
        let wrong = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
        let facts = std::fs::metadata(path).map_err(|error| wrong(&error))?;
        if !facts.is_file() {
            return Err(wrong(&"not a file"));
        }
        let file = std::fs::File::open(path).map_err(|error| wrong(&error))?;
        let mut text = String::new();
        file.take(LARGEST + 1).read_to_string(&mut text).map_err(|error| wrong(&error))?;
        if text.len() as u64 > LARGEST {
            return Err(wrong(&format_args!("it has more than {LARGEST} bytes, which no notebook has")));
        }
        // Each value but the first has a comma before it, or opens what it stands in.
        let values = 1 + text.bytes().filter(|byte| b",[{".contains(byte)).count();
        if values > MOST {
            return Err(wrong(&format_args!("it has about {values} values, more than any notebook")));
        }
        Self::read(&text).map_err(|error| wrong(&error))
    }
}
