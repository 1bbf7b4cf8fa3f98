//! A name of a picture of the lessons → what `show` draws.

use crate::display::output::{Picture, show};
use crate::error::{Error, ErrorKind, Result};
use crate::source::builtin;
use crate::util::names::unknown;

/// Shows one of the pictures that ship with the lessons, or its text twin where pictures cannot be drawn.
///
/// # Errors
/// [`ErrorKind::Name`] when there is none by this name; the message lists those there are.
pub fn show_picture(name: &str) -> Result<()> {
    let folder = builtin::root().join("pictures");
    let read = |suffix: &str| std::fs::read_to_string(folder.join(format!("{name}.{suffix}")));
    match (read("svg"), read("txt")) {
        (Ok(svg), Ok(text)) => {
            show(&Picture { svg, text });
            Ok(())
        }
        _ => {
            let entries = std::fs::read_dir(&folder).map_err(|error| Error::file(&folder, error))?.flatten();
            let mut names: Vec<String> =
                entries.filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".svg").map(String::from)).collect();
            names.sort();
            Err(unknown(ErrorKind::Name, "picture", name, &names))
        }
    }
}
