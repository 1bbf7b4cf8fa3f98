//! A number, `2.1` → its exercise; all of them in the order of the lessons.

use crate::course::exercises::exercise::Exercise;
use crate::course::exercises::{considerations, evaluation, instructions, own, places, preparation, training, why};
use crate::error::{Error, ErrorKind, Result};
use crate::util::names::unknown;

/// All exercises, by lesson.
static LESSONS: [[Exercise; 3]; 8] = [
    why::EXERCISES,
    places::EXERCISES,
    instructions::EXERCISES,
    preparation::EXERCISES,
    training::EXERCISES,
    evaluation::EXERCISES,
    considerations::EXERCISES,
    own::EXERCISES,
];

/// All exercises in order.
pub fn all() -> impl Iterator<Item = &'static Exercise> {
    LESSONS.iter().flatten()
}

/// The exercise with this number.
///
/// # Errors
/// [`ErrorKind::Exercise`] with the numbers that there are.
pub fn find(number: &str) -> Result<&'static Exercise> {
    all().find(|exercise| exercise.number == number.trim()).ok_or_else(|| none(number))
}

fn none(number: &str) -> Error {
    let numbers: Vec<String> = all().map(|exercise| exercise.number.to_string()).collect();
    unknown(ErrorKind::Exercise, "exercise", number, &numbers).hint("the number stands above the exercise's cell: check(\"2.1\", …)?")
}
