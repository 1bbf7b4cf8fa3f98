//! `cargo lab book`: the lessons as they ran → pages that need no server and no network, with search and charts.

use std::path::{Path, PathBuf};
use std::process::Command;

use notebooks::course;

use crate::lab::failure::Failure;
use crate::lab::machine::python;
use crate::lab::machine::steps::step;
use crate::lab::paths::Paths;
use crate::spawn;

/// nbconvert makes the pages; these say how.
const FILES: [(&str, &str); 4] = [
    ("book.py", include_str!("../../../assets/book/book.py")),
    ("page.html.j2", include_str!("../../../assets/book/page.html.j2")),
    ("book.css", include_str!("../../../assets/book/book.css")),
    ("book.js", include_str!("../../../assets/book/book.js")),
];
/// A folder with this file is a book, which a new one may replace.
const MARK: &str = "search.js";

/// Writes the book into a folder, `.lab/book` unless another is named.
///
/// # Errors
/// The folder holds something else, a notebook cannot be read, or the environment cannot be made.
pub fn book(paths: &Paths, folder: Option<&Path>) -> Result<(), Failure> {
    let folder = folder.map_or_else(|| paths.own.join("book"), Path::to_path_buf);
    let is_empty = std::fs::read_dir(&folder).map_or(true, |mut entries| entries.next().is_none());
    if !is_empty && !folder.join(MARK).is_file() {
        let what = format!("`{}` holds files that are no book", folder.display());
        return Err(Failure::new(what, "cargo lab book, with a folder that does not exist yet"));
    }
    let lessons = course::lessons(&paths.notebooks)?.into_iter().map(|lesson| lesson.notebook).filter(|file| file.exists());
    let lessons: Vec<PathBuf> = lessons.collect();
    if lessons.is_empty() {
        return Err(Failure::new(format!("there is no lesson in {}", paths.notebooks.display()), "cargo lab build"));
    }
    step("Python environment", || python::prepare(paths))?;
    let work = tempfile::tempdir().map_err(|error| error.to_string())?;
    for (name, text) in FILES {
        std::fs::write(work.path().join(name), text).map_err(|error| format!("{}: {error}", work.path().display()))?;
    }
    let mut command = Command::new(python::venv_python(paths));
    python::own_packages_only(&mut command);
    command.arg(work.path().join(FILES[0].0)).arg(&folder).args(&lessons);
    let pages = spawn::output(&mut command, "nbconvert could not make the pages")
        .map_err(|what| Failure::new(what, "cargo lab doctor; rm -rf .lab/venv && cargo lab setup makes the environment anew"))?;
    println!("{} lessons; open {}", pages.trim(), folder.join("index.html").display());
    Ok(())
}
