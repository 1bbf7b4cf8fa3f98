//! Each exercise: what is right passes, what learners typically write fails with the hint.

pub mod early;
pub mod late;

use finetuning::ErrorKind;
use finetuning::course::exercises::answer::Answer;
use finetuning::course::exercises::check::look;
use finetuning::course::exercises::list::find;

/// Solved.
#[track_caller]
fn right<Form>(number: &str, value: impl Answer<Form>) {
    let line = look(find(number).unwrap(), value.given(), None).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(line, format!("{number} is solved (not noted)"));
}

/// Not solved, with these words and the first hint.
#[track_caller]
fn wrong<Form>(number: &str, value: impl Answer<Form>, says: &str) {
    let exercise = find(number).unwrap();
    let error = look(exercise, value.given(), None).expect_err("it is wrong, and passes");
    assert_eq!((error.kind(), error.advice()), (ErrorKind::Exercise, Some(exercise.hints[0])));
    let message = error.message();
    assert!(message.starts_with(&format!("{number} is not solved yet: ")) && message.contains(says), "{message}");
}

const OPEN: &str = "it still says `todo!()`";
