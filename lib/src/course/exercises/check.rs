//! The number of an exercise and a value → one line where it is solved, an error with a hint where it is not.

use std::path::PathBuf;

use crate::course::exercises::answer::{Answer, Given};
use crate::course::exercises::exercise::Exercise;
use crate::course::exercises::list::{all, find};
use crate::course::exercises::progress::{Progress, Standing};
use crate::error::{Error, ErrorKind, Result};
use crate::source::builtin;
use crate::util::notice;

/// Checks an exercise: `check("2.2", joined)?;` as the last line of its cell. What is handed in is looked at by what it does, on
/// inputs that the cell does not show. Solved, one line says so, and `progress.json` in the work folder keeps it.
///
/// ```no_run
/// use finetuning::*;
/// fn steps(rows: usize, rows_per_step: usize, epochs: usize) -> usize {
///     rows / rows_per_step * epochs
/// }
/// let error = check("5.1", steps).unwrap_err();
/// assert!(error.message().starts_with("5.1 is not solved yet"));
/// assert_eq!(error.advice(), Some("round up"));
/// ```
///
/// # Errors
/// [`ErrorKind::Exercise`] when it is not solved, with a hint, and with a second one from the second failure on; when no exercise has
/// this number.
pub fn check<Form>(number: &str, value: impl Answer<Form>) -> Result<()> {
    let exercise = find(number)?;
    look(exercise, value.given(), Progress::here().as_ref()).map(|line| println!("{line}"))
}

/// Prints both hints of an exercise.
///
/// # Errors
/// [`ErrorKind::Exercise`] when no exercise has this number.
pub fn hint(number: &str) -> Result<()> {
    let [first, second] = find(number)?.hints;
    println!("{number}: {first}\n{second}");
    Ok(())
}

/// The line of a solved exercise; `progress` is where it is noted, none where it is nobody's.
///
/// # Errors
/// As [`check`].
pub fn look(exercise: &Exercise, given: Given, progress: Option<&Progress>) -> Result<String> {
    let Exercise { number, hints: [first, second], look } = exercise;
    let found = look(given);
    let noted = progress.map(|progress| progress.note(number, found.is_ok(), found.as_ref().ok().copied().flatten()));
    let standing = match noted {
        Some(Ok(standing)) => Some(standing),
        Some(Err(error)) => {
            notice::warn(format_args!("the check is not noted: {error}"));
            None
        }
        None => None,
    };
    match found {
        Ok(_) => Ok(solved(number, standing, progress)),
        Err(what) => {
            let again = standing.is_some_and(|standing| standing.failures > 1);
            let hint = if again { format!("{first}\n{second}") } else { first.to_string() };
            Err(Error::new(ErrorKind::Exercise, format!("{number} is not solved yet: {what}")).hint(hint))
        }
    }
}

fn solved(number: &str, standing: Option<Standing>, progress: Option<&Progress>) -> String {
    let count = match standing {
        Some(Standing { solved, .. }) => format!("{solved} of {} exercises", all().count()),
        None => "not noted".into(),
    };
    let compare =
        progress.and_then(|progress| solution(number, progress)).map_or(String::new(), |path| format!("; to compare: {}", path.display()));
    format!("{number} is solved ({count}){compare}")
}

/// The notebook of solutions of an exercise's lesson: beside the learner's, as seen from there, or in the repository.
fn solution(number: &str, progress: &Progress) -> Option<PathBuf> {
    let start = format!("{:0>2}_", number.split('.').next()?);
    let own = (progress.folder().join("solutions"), PathBuf::from("solutions"));
    let shipped = builtin::root().join("solutions");
    [own, (shipped.clone(), shipped)].into_iter().find_map(|(folder, shown)| {
        let entries = std::fs::read_dir(folder).ok()?.flatten();
        let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names.into_iter().find(|name| name.starts_with(&start) && name.ends_with(".ipynb")).map(|name| shown.join(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_hint_comes_with_the_second_failure_and_a_solution_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let progress = Progress::of(folder.path());
        let exercise = find("7.2").unwrap();
        let try_ = |number: f64| look(exercise, Given::Number(number), Some(&progress));
        let first = try_(7e9).unwrap_err();
        assert_eq!(first.to_string(), "7.2 is not solved yet: its weights, gradients and optimizer do not fit into 16 GB\nhint: 16 bytes");
        let second = try_(1.0).unwrap_err().to_string();
        assert!(second.contains("\nhint: 16 bytes\na weight, its gradient"), "{second}");
        std::fs::create_dir(folder.path().join("solutions")).unwrap();
        std::fs::write(folder.path().join("solutions/07_considerations.ipynb"), "").unwrap();
        assert_eq!(try_(1e9).unwrap(), "7.2 is solved (1 of 24 exercises); to compare: solutions/07_considerations.ipynb");
        assert_eq!(look(exercise, Given::Number(1e9), None).unwrap(), "7.2 is solved (not noted)");
    }

    #[test]
    fn numbers_are_those_of_eight_lessons_and_each_has_two_hints() {
        let numbers: Vec<&str> = all().map(|exercise| exercise.number).collect();
        let expected: Vec<String> = (1..=8).flat_map(|lesson| (1..=3).map(move |place| format!("{lesson}.{place}"))).collect();
        assert_eq!(numbers, expected);
        assert!(all().all(|exercise| exercise.hints.iter().all(|hint| !hint.is_empty())));
        let error = hint("2.9").unwrap_err().to_string();
        assert!(error.starts_with("exercise `2.9` does not exist; there are: `1.1`") && error.contains("hint: "), "{error}");
    }

    #[test]
    fn another_form_than_the_exercise_takes_is_named_with_both() {
        let error = look(find("5.1").unwrap(), Given::Text("7".into()), None).unwrap_err().to_string();
        assert!(error.contains("it takes a function `fn(usize, usize, usize) -> usize`; a text was given"), "{error}");
    }
}
