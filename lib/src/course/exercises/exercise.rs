//! An exercise as a value: its number, its hints, and how it looks at what was handed in; and the kinds of looking that many share.

use sha2::{Digest, Sha256};

use crate::course::exercises::answer::Given;
use crate::error::ErrorKind;
use crate::util::panic::{caught, quietly};

/// What an exercise finds: nothing wrong, with a score where there is one to be kept; or what is wrong, in words that teach and do
/// not give the answer away.
pub type Found = Result<Option<f64>, String>;

/// An exercise.
#[derive(Debug, Clone, Copy)]
pub struct Exercise {
    /// Lesson and place in it, such as `2.1`.
    pub number: &'static str,
    /// The hint after the first failure, and what is added after the second.
    pub hints: [&'static str; 2],
    /// Looks at what was handed in.
    pub look: fn(Given) -> Found,
}

/// Calls a function of the learner; a panic in it is what is wrong.
///
/// # Errors
/// The panic in words.
pub fn called<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    quietly(|| caught(ErrorKind::Exercise, || Ok(work()))).map_err(|error| {
        let message = error.message().trim_start_matches("the program has a fault: ");
        // Its place is one of the program that the cell became.
        let message = message.rsplit_once(" (").filter(|(_, place)| place.contains(".rs:")).map_or(message, |(message, _)| message);
        match message.starts_with("not yet implemented") || message.starts_with("not implemented") {
            true => "it still says `todo!()`: that is the place for your code".into(),
            false => format!("your function panics: {message}"),
        }
    })
}

/// [`called`] with a function whose result may be an error, which is what is wrong then.
///
/// # Errors
/// The panic or the error in words, behind `where_`.
pub fn answered<T>(where_: &str, work: impl FnOnce() -> crate::error::Result<T>) -> Result<T, String> {
    called(work)?.map_err(|error| format!("{where_}: your function returns an error: {}", error.message()))
}

/// Whether a text is the one whose salted hash is kept, so that it cannot be read off the source.
pub fn is_hashed(number: &str, text: &str, hash: &str) -> bool {
    let digest = Sha256::digest(format!("finetuning exercise {number}\n{text}"));
    digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>() == hash
}

/// Words in small letters; one text is split at blanks, commas and line ends.
///
/// # Errors
/// When it is no list of words and no text.
pub fn words(given: Given) -> Result<Vec<String>, String> {
    let words = match given {
        Given::Text(text) => text.split([' ', ',', ';', '\n']).map(String::from).collect(),
        other => other.words()?,
    };
    Ok(words.into_iter().map(|word| word.trim().to_lowercase()).filter(|word| !word.is_empty()).collect())
}

/// How far apart two numbers may be that are to be equal.
pub fn is_near(number: f64, right: f64) -> bool {
    (number - right).abs() <= 1e-6 * right.abs().max(1.0)
}

/// What is wrong, unless a condition holds.
///
/// # Errors
/// `what`, when it does not.
pub fn unless(holds: bool, what: impl Into<String>) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.into()) }
}
