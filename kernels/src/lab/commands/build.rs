//! `cargo lab build`: lesson files → notebooks, and those with the solutions.

use notebooks::course;

use crate::lab::failure::Failure;
use crate::lab::paths::Paths;

/// Makes the notebooks of lessons; outputs of unchanged cells stay.
pub fn build(paths: &Paths, words: &[String]) -> Result<(), Failure> {
    let lessons = course::lessons(&paths.notebooks)?;
    for lesson in course::select(&lessons, words)? {
        let changed = lesson.write_notebook(&lesson.fresh_notebook()?)? | lesson.write_solutions()?;
        println!("{:32} {}", lesson.name, if changed { "written" } else { "up to date" });
    }
    if course::write_modules(&paths.notebooks, &lessons)? {
        println!("{:32} written", "lessons/all.rs");
    }
    Ok(())
}
