//! `cargo lab reset`: lessons → their copies as the repository has them; what the reader made stays beside them.

use crate::lab::failure::Failure;
use crate::lab::machine::copies;
use crate::lab::paths::Paths;

/// Makes the reader's copies of these lessons anew.
pub fn reset(paths: &Paths, lessons: &[String]) -> Result<(), Failure> {
    for (lesson, kept) in copies::reset(paths, lessons)? {
        match kept {
            Some(kept) => println!("{:32} as it is in the repository; yours is {}", lesson.name, kept.display()),
            None => println!("{:32} as it is in the repository", lesson.name),
        }
    }
    Ok(())
}
