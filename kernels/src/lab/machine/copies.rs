//! The lessons of the repository → the reader's own copies, in a folder that git does not look at: JupyterLab saves into
//! these, so an update of the repository finds no changed file.
//!
//! A copy whose cells are the lesson's follows it; one whose cells the reader changed stays until [`reset`] is asked for. Nothing
//! that the reader made is lost: what a new lesson replaces is kept beside it. The notebook with a lesson's solutions is copied in the
//! same way, into `solutions` beside the lessons.

use std::path::{Path, PathBuf};

use notebooks::course::{self, LessonFile};
use notebooks::{Kind, Notebook};
use serde_json::{Map, Value, json};

use crate::kernel::prepare::unpack::checksum;
use crate::lab::failure::Failure;
use crate::lab::paths::Paths;

/// What each copy was made of: the cells of the lesson as they were then, and the checksum of the file.
const RECORD: &str = ".lessons.json";

/// What became of a lesson's copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Copy {
    /// It is the lesson's, as it is now.
    Fresh,
    /// It was made, or followed the lesson.
    Made,
    /// The lesson has changed, and so had the reader's copy, which stays.
    Kept,
    /// It is no notebook any more; it stays.
    Unreadable,
}

/// The file of a lesson's copy.
pub fn path(paths: &Paths, lesson: &LessonFile) -> PathBuf {
    paths.work.join(format!("{}.ipynb", lesson.name))
}

/// The file of the copy of a lesson's solutions.
pub fn solutions(paths: &Paths, lesson: &LessonFile) -> PathBuf {
    paths.work.join(format!("solutions/{}.ipynb", lesson.name))
}

/// A notebook of the repository, the reader's copy of it, and the name under which the record has it.
struct Pair {
    name: String,
    from: PathBuf,
    own: PathBuf,
}

impl Pair {
    fn lesson(paths: &Paths, lesson: &LessonFile) -> Pair {
        Pair { name: lesson.name.clone(), from: lesson.notebook.clone(), own: path(paths, lesson) }
    }

    /// None where the lesson has no solutions.
    fn solutions(paths: &Paths, lesson: &LessonFile) -> Option<Pair> {
        let pair = Pair { name: format!("solutions/{}", lesson.name), from: lesson.solutions.clone(), own: solutions(paths, lesson) };
        pair.from.exists().then_some(pair)
    }
}

/// Brings all copies up to date; (lesson, what became of its copy) of each.
///
/// # Errors
/// The folder cannot be written, or a lesson has no notebook.
pub fn refresh(paths: &Paths) -> Result<Vec<(LessonFile, Copy)>, Failure> {
    let mut record = read_record(&paths.work);
    let lessons = course::lessons(&paths.notebooks)?.into_iter().filter(|lesson| lesson.notebook.exists());
    let copies = lessons.map(|lesson| {
        if let Some(pair) = Pair::solutions(paths, &lesson) {
            follow(&pair, &mut record)?;
        }
        let copy = follow(&Pair::lesson(paths, &lesson), &mut record)?;
        Ok((lesson, copy))
    });
    let copies = copies.collect::<Result<Vec<_>, Failure>>()?;
    write_record(&paths.work, &record)?;
    Ok(copies)
}

/// Makes the copies of these lessons anew; (lesson, where the reader's changed copy was put) of each.
///
/// # Errors
/// As [`refresh`], or a word that names no lesson.
pub fn reset(paths: &Paths, words: &[String]) -> Result<Vec<(LessonFile, Option<PathBuf>)>, Failure> {
    let lessons = course::lessons(&paths.notebooks)?;
    let selected = course::select(&lessons, words).map_err(|what| Failure::new(what, "cargo lab reset 1"))?;
    let mut record = read_record(&paths.work);
    let copies = selected.into_iter().map(|lesson| {
        let own = path(paths, &lesson);
        let kept = put_aside(&own, record.get(&lesson.name))?;
        if let Err(failure) = make(&Pair::lesson(paths, &lesson), &mut record) {
            // A full disk, say: the reader's copy comes back.
            let _ = kept.filter(|_| !own.exists()).map(|kept| std::fs::rename(kept, &own));
            return Err(failure);
        }
        Ok((lesson, kept))
    });
    let copies = copies.collect::<Result<Vec<_>, Failure>>()?;
    write_record(&paths.work, &record)?;
    Ok(copies)
}

/// A copy follows its notebook unless the reader changed a cell of it.
fn follow(pair: &Pair, record: &mut Map<String, Value>) -> Result<Copy, Failure> {
    let (own, now) = (&pair.own, cells(&pair.from)?);
    if !own.exists() {
        make(pair, record)?;
        return Ok(Copy::Made);
    }
    let entry = record.get(&pair.name);
    let then = entry.map(|entry| &entry["cells"]);
    // What cannot be read is the reader's as well: it stays as it is.
    let Ok(theirs) = cells(own) else { return Ok(Copy::Unreadable) };
    if then == Some(&now) {
        return Ok(Copy::Fresh);
    }
    if then.is_none() && theirs == now {
        // The record was lost, the copy is the lesson's.
        record.insert(pair.name.clone(), json!({ "cells": now }));
        return Ok(Copy::Fresh);
    }
    if then != Some(&theirs) {
        return Ok(Copy::Kept);
    }
    put_aside(own, entry)?;
    make(pair, record)?;
    Ok(Copy::Made)
}

fn make(pair: &Pair, record: &mut Map<String, Value>) -> Result<(), Failure> {
    let Pair { name, from, own } = pair;
    let folder = own.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
    Notebook::open(from)?.save(own).map_err(|error| unwritable(own, &error))?;
    record.insert(name.clone(), json!({ "cells": cells(own)?, "file": sum(own)? }));
    Ok(())
}

/// Renames the reader's file to `NAME.mine-1.ipynb`, with the first number that is free; none where it is missing, or is as it
/// was made.
fn put_aside(own: &Path, entry: Option<&Value>) -> Result<Option<PathBuf>, Failure> {
    if !own.exists() || entry.is_some_and(|entry| sum(own).is_ok_and(|sum| entry["file"] == sum)) {
        return Ok(None);
    }
    let aside = (1..).map(|number| own.with_extension(format!("mine-{number}.ipynb"))).find(|path| !path.exists());
    let aside = aside.unwrap_or_else(|| own.with_extension("mine.ipynb"));
    std::fs::rename(own, &aside).map_err(|error| unwritable(&aside, &error))?;
    Ok(Some(aside))
}

/// The cells of a notebook as a reader sees them, without outputs.
fn cells(file: &Path) -> Result<Value, Failure> {
    let kind = |kind| match kind {
        Kind::Code => "code",
        Kind::Markdown => "text",
        Kind::Other => "other",
    };
    Ok(Notebook::open(file)?.cells.iter().map(|cell| json!([kind(cell.kind), cell.source])).collect())
}

fn sum(file: &Path) -> Result<u32, Failure> {
    std::fs::read(file).map(|bytes| checksum(&bytes)).map_err(|error| unwritable(file, &error))
}

fn read_record(work: &Path) -> Map<String, Value> {
    let text = std::fs::read_to_string(work.join(RECORD)).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

fn write_record(work: &Path, record: &Map<String, Value>) -> Result<(), Failure> {
    let (file, text) = (work.join(RECORD), Value::Object(record.clone()).to_string());
    if std::fs::read_to_string(&file).is_ok_and(|old| old == text) {
        return Ok(());
    }
    // Whole or not at all: of half a record all copies would look like the reader's own.
    let whole = tempfile::NamedTempFile::new_in(work).and_then(|mut new| {
        std::io::Write::write_all(&mut new, text.as_bytes())?;
        new.persist(&file).map_err(|error| error.error)
    });
    whole.map(drop).map_err(|error| unwritable(&file, &error))
}

/// A folder of the reader's cannot be written to.
pub fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    let fix = match error.kind() {
        std::io::ErrorKind::StorageFull => "free some space (`cargo lab clean` frees what can be built again), then: cargo lab",
        _ => "set FINETUNING_WORK to a folder of your own, then: cargo lab",
    };
    Failure::new(format!("{}: {error}", path.display()), fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LESSON: &str = "fn lesson() {\n    // %% [markdown]\n    // # One\n\n    // %%\n    let one = 1;\n    Ok(())\n}\n";

    /// A repository with one lesson.
    fn repository(root: &Path) -> Paths {
        let paths = Paths {
            root: root.into(),
            notebooks: root.join("notebooks"),
            lab: root.join(".lab"),
            own: root.join(".lab"),
            work: root.join("work"),
        };
        std::fs::create_dir_all(paths.notebooks.join("lessons")).unwrap();
        write_lesson(&paths, LESSON);
        paths
    }

    fn write_lesson(paths: &Paths, text: &str) {
        std::fs::write(paths.notebooks.join("lessons/01_one.rs"), text).unwrap();
        let lesson = course::lessons(&paths.notebooks).unwrap().remove(0);
        lesson.fresh_notebook().unwrap().save(&lesson.notebook).unwrap();
        lesson.write_solutions().unwrap();
    }

    fn copy(paths: &Paths) -> Copy {
        refresh(paths).unwrap().remove(0).1
    }

    fn text(paths: &Paths) -> String {
        std::fs::read_to_string(paths.work.join("01_one.ipynb")).unwrap()
    }

    fn change(paths: &Paths, from: &str, to: &str) {
        std::fs::write(paths.work.join("01_one.ipynb"), text(paths).replace(from, to)).unwrap();
    }

    #[test]
    fn a_copy_follows_its_lesson_until_the_reader_changes_it() {
        let folder = tempfile::tempdir().unwrap();
        let paths = repository(folder.path());
        assert_eq!((copy(&paths), copy(&paths)), (Copy::Made, Copy::Fresh));
        write_lesson(&paths, &LESSON.replace("= 1", "= 2"));
        assert_eq!((copy(&paths), copy(&paths)), (Copy::Made, Copy::Fresh));
        assert!(text(&paths).contains("= 2"));
        // The reader changes a cell: it stays, whatever becomes of the lesson.
        change(&paths, "= 2", "= 22");
        assert_eq!(copy(&paths), Copy::Fresh);
        write_lesson(&paths, &LESSON.replace("= 1", "= 3"));
        assert_eq!((copy(&paths), copy(&paths)), (Copy::Kept, Copy::Kept));
        assert!(text(&paths).contains("= 22"));
        // Until a reset, which keeps it aside.
        let kept = reset(&paths, &["1".into()]).unwrap().remove(0).1.unwrap();
        assert!(text(&paths).contains("= 3") && std::fs::read_to_string(&kept).unwrap().contains("= 22"));
        assert!(kept.ends_with("01_one.mine-1.ipynb"));
        assert_eq!(copy(&paths), Copy::Fresh);
        assert_eq!(reset(&paths, &["1".into()]).unwrap().remove(0).1, None, "an untouched copy is nothing to keep");
    }

    #[test]
    fn solutions_are_copied_beside_the_lessons_and_follow_them() {
        let folder = tempfile::tempdir().unwrap();
        let paths = repository(folder.path());
        copy(&paths);
        assert!(!paths.work.join("solutions").exists(), "a lesson without exercises");
        let exercise = "    // %% [markdown]\n    // Two?\n\n    // %% exercise=1.1\n    {\n        f(0);\n    }\n\n    // %% solution=1.1\n    {\n        f(2);\n    }\n    Ok";
        write_lesson(&paths, &LESSON.replace("    Ok", exercise));
        copy(&paths);
        let read = || std::fs::read_to_string(paths.work.join("solutions/01_one.ipynb")).unwrap();
        assert!(read().contains("f(2)") && text(&paths).contains("f(0)") && !text(&paths).contains("f(2)"));
        write_lesson(&paths, &LESSON.replace("    Ok", &exercise.replace("f(2)", "f(1 + 1)")));
        assert_eq!(copy(&paths), Copy::Fresh, "the lesson itself is the same");
        assert!(read().contains("f(1 + 1)"));
    }

    #[test]
    fn what_the_reader_ran_is_kept_aside_when_the_lesson_changes() {
        let folder = tempfile::tempdir().unwrap();
        let paths = repository(folder.path());
        copy(&paths);
        change(&paths, "\"outputs\": []", "\"outputs\": [{\"output_type\": \"stream\", \"name\": \"stdout\", \"text\": \"mine\"}]");
        write_lesson(&paths, &LESSON.replace("= 1", "= 2"));
        assert_eq!(copy(&paths), Copy::Made);
        assert!(std::fs::read_to_string(paths.work.join("01_one.mine-1.ipynb")).unwrap().contains("mine"));
    }

    #[test]
    fn a_broken_copy_stays_and_a_deleted_one_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let paths = repository(folder.path());
        copy(&paths);
        change(&paths, "{", "");
        write_lesson(&paths, &LESSON.replace("= 1", "= 2"));
        assert_eq!(copy(&paths), Copy::Unreadable);
        assert!(reset(&paths, &["1".into()]).unwrap().remove(0).1.is_some());
        change(&paths, "{", "");
        assert_eq!(copy(&paths), Copy::Unreadable, "the lesson itself is the same");
        std::fs::remove_file(paths.work.join("01_one.ipynb")).unwrap();
        assert_eq!(copy(&paths), Copy::Made);
        // Without the record, a copy that is the lesson's is known, and follows it again.
        std::fs::write(paths.work.join(RECORD), "{\"01_one\": ").unwrap();
        assert_eq!(copy(&paths), Copy::Fresh);
        write_lesson(&paths, &LESSON.replace("= 1", "= 5"));
        assert_eq!(copy(&paths), Copy::Made);
        std::fs::remove_file(paths.work.join("01_one.ipynb")).unwrap();
        assert_eq!(copy(&paths), Copy::Made);
        assert!(reset(&paths, &["9".into()]).unwrap_err().to_string().contains("`9` names no lesson"));
    }
}
