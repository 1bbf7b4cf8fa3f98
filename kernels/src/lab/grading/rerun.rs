//! A learner's notebooks → run anew in the kernel, on a copy of the folder; and what the companion's `check` said meanwhile.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use notebooks::Notebook;
use tempfile::TempDir;

use crate::lab::client::pass::{self, Pass};
use crate::lab::grading::learner::{Learner, Mark, PROGRESS, entries, notebooks_in};
use crate::lab::grading::number::Number;

/// The most bytes that are copied of a learner's folder: notebooks, rows and small models.
const MOST: u64 = 2 << 30;

/// Runs all notebooks of a learner that call `check`; marks are then what the run says. A cell that does not end within `limit`
/// is stopped and named, and the cells after it run. `said` is told each notebook.
///
/// # Errors
/// The kernel does not start, or there is no room for the copy.
pub fn rerun(learner: &mut Learner, program: &Path, missing: &[String], limit: Duration, said: &mut dyn FnMut(&str)) -> Result<(), String> {
    let copy = copy(&learner.folder)?;
    let work = TempDir::new().map_err(|error| format!("a temporary folder: {error}"))?;
    for path in notebooks_in(copy.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Ok(mut notebook) = Notebook::open(&path) else { continue };
        if !notebook.cells.iter().any(|cell| cell.source.contains("check(")) {
            continue;
        }
        said(&name);
        let work = Some(work.path().into());
        let pass = Pass { program, folder: copy.path(), work, goes_on: true, limit: Some(limit), missing, solutions: &[] };
        let report = pass::run(&mut notebook, &pass, &mut |_, _| {})?;
        for place in report.too_long {
            learner.note(format!("{name}, cell {place}: it did not end within {} s and was stopped", limit.as_secs()));
        }
        if let Some((place, model)) = report.skipped {
            learner.note(format!("{name} needs builtin:{model} from cell {place} on: cargo lab setup"));
        }
    }
    let ran = entries(work.path()).map_err(|why| format!("{PROGRESS} of the run: {why}"))?;
    judge(learner, ran.into_iter().map(|(number, entry)| (number, entry.solved)).collect());
    Ok(())
}

/// Makes of what a run solved the learner's marks; names what was claimed and is not solved.
fn judge(learner: &mut Learner, ran: BTreeMap<Number, bool>) {
    let solved = |number: &Number| ran.get(number) == Some(&true);
    let claimed: Vec<Number> =
        learner.marks.iter().filter(|(_, mark)| !matches!(mark, Mark::Tried(_))).map(|(number, _)| *number).collect();
    learner.notes.retain(|note| !ran.keys().any(|number| solved(number) && note.starts_with(&format!("{}: {number} is ", learner.name))));
    for number in claimed.into_iter().filter(|number| !solved(number)) {
        learner.note(format!("{number} is said to be solved, but a run of the notebooks does not solve it"));
        learner.marks.insert(number, Mark::Claimed);
    }
    for number in ran.keys().filter(|number| solved(number)) {
        learner.marks.insert(*number, Mark::Solved);
    }
}

/// A copy of a folder's files, without hidden ones, links and an old progress file.
fn copy(folder: &Path) -> Result<TempDir, String> {
    let copy = tempfile::Builder::new().prefix("finetuning-grade-").tempdir().map_err(|error| format!("a temporary folder: {error}"))?;
    let mut left = MOST;
    copy_into(folder, copy.path(), &mut left).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(copy)
}

fn copy_into(from: &Path, to: &Path, left: &mut u64) -> std::io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        if name.to_string_lossy().starts_with('.') || name == PROGRESS || kind.is_symlink() {
            continue;
        }
        let target = to.join(&name);
        if kind.is_dir() {
            fs::create_dir(&target)?;
            copy_into(&entry.path(), &target, left)?;
        } else if kind.is_file() {
            let bytes = entry.metadata()?.len();
            *left = left.checked_sub(bytes).ok_or_else(|| std::io::Error::other("more than 2 GB: remove what the cells wrote"))?;
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_decides_what_was_claimed() {
        let number = |text: &str| Number::read(text).unwrap();
        let marks = [("1.1", Mark::Claimed), ("1.2", Mark::Solved), ("1.3", Mark::Tried(4)), ("2.1", Mark::Tried(1))];
        let marks = marks.into_iter().map(|(text, mark)| (number(text), mark)).collect();
        let notes = vec!["ann: 1.1 is solved in progress.json, but no notebook shows the run that solved it".into(), "ann: other".into()];
        let mut ann = Learner { name: "ann".into(), folder: "".into(), marks, notes };
        judge(&mut ann, BTreeMap::from([(number("1.1"), true), (number("1.2"), false), (number("2.1"), true)]));
        let expected = [("1.1", Mark::Solved), ("1.2", Mark::Claimed), ("1.3", Mark::Tried(4)), ("2.1", Mark::Solved)];
        assert_eq!(ann.marks, expected.into_iter().map(|(text, mark)| (number(text), mark)).collect());
        assert_eq!(ann.notes, ["ann: other", "ann: 1.2 is said to be solved, but a run of the notebooks does not solve it"]);
    }

    #[test]
    fn a_copy_has_the_files_and_not_the_progress() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("scratch")).unwrap();
        for name in ["01.ipynb", "scratch/rows.jsonl", PROGRESS, ".lessons.json"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        std::os::unix::fs::symlink("/etc", folder.path().join("etc")).unwrap();
        let copy = copy(folder.path()).unwrap();
        let there = |name: &str| copy.path().join(name).exists();
        assert!(there("01.ipynb") && there("scratch/rows.jsonl") && !there(PROGRESS) && !there(".lessons.json") && !there("etc"));
        assert_eq!(
            copy_into(folder.path(), &copy.path().join("scratch"), &mut 3).unwrap_err().to_string().split(':').next(),
            Some("more than 2 GB")
        );
    }
}
