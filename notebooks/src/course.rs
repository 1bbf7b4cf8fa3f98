//! The folder of the course → its lessons; a lesson → its notebook, and whether that is up to date.

use std::path::{Path, PathBuf};

use crate::cells::Lesson;
use crate::ipynb::Notebook;

/// A lesson by its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LessonFile {
    pub number: u32,
    /// The name of both files, such as `05_training`.
    pub name: String,
    pub source: PathBuf,
    pub notebook: PathBuf,
    /// The notebook with its exercises solved; a lesson without exercises has none.
    pub solutions: PathBuf,
}

/// The folder of this crate.
pub fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All lessons of a `notebooks` folder, by number.
///
/// # Errors
/// The folder cannot be read.
pub fn lessons(folder: &Path) -> Result<Vec<LessonFile>, String> {
    let sources = folder.join("lessons");
    let entries = std::fs::read_dir(&sources).map_err(|error| format!("{}: {error}", sources.display()))?;
    let mut lessons: Vec<LessonFile> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().to_str()?.strip_suffix(".rs")?.to_string();
            let number = name.split_once('_')?.0.parse().ok()?;
            let (notebook, solutions) = (format!("{name}.ipynb"), format!("solutions/{name}.ipynb"));
            Some(LessonFile { number, source: entry.path(), notebook: folder.join(notebook), solutions: folder.join(solutions), name })
        })
        .collect();
    lessons.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(lessons)
}

/// The lessons that are asked for by number, name, a part of the name or path; all for no words.
///
/// # Errors
/// A word that names no lesson, with the names that exist.
pub fn select(lessons: &[LessonFile], words: &[String]) -> Result<Vec<LessonFile>, String> {
    if words.is_empty() {
        return Ok(lessons.to_vec());
    }
    let one = |word: &String| {
        let stem = Path::new(word).file_stem().and_then(|stem| stem.to_str()).unwrap_or(word);
        let number = stem.parse::<u32>().ok();
        let by = |test: &dyn Fn(&LessonFile) -> bool| lessons.iter().find(|lesson| test(lesson)).cloned();
        by(&|lesson| Some(lesson.number) == number || lesson.name == stem)
            .or_else(|| by(&|lesson| !stem.is_empty() && lesson.name.contains(stem)))
            .ok_or_else(|| format!("`{word}` names no lesson; the lessons are {}", list(lessons)))
    };
    words.iter().map(one).collect()
}

fn list(lessons: &[LessonFile]) -> String {
    lessons.iter().map(|lesson| lesson.name.as_str()).collect::<Vec<_>>().join(", ")
}

impl LessonFile {
    /// The lesson.
    ///
    /// # Errors
    /// File and line that do not have the form of a lesson, or an exercise with the number of another lesson or one that is
    /// there twice.
    pub fn lesson(&self) -> Result<Lesson, String> {
        let wrong = |why: String| format!("{}: {why}", self.source.display());
        let lesson = Lesson::split(&read(&self.source)?).map_err(wrong)?;
        let mut known: Vec<&str> = Vec::new();
        for (number, _) in lesson.solutions() {
            if number.split_once('.').is_none_or(|(own, _)| own.parse() != Ok(self.number)) {
                return Err(wrong(format!("exercise {number} is not of lesson {}", self.number)));
            }
            if known.contains(&number) {
                return Err(wrong(format!("exercise {number} is there twice")));
            }
            known.push(number);
        }
        Ok(lesson)
    }

    /// The notebook in the folder; `None` when there is none yet.
    ///
    /// # Errors
    /// The file is not a notebook.
    pub fn read_notebook(&self) -> Result<Option<Notebook>, String> {
        if !self.notebook.exists() {
            return Ok(None);
        }
        Notebook::open(&self.notebook).map(Some)
    }

    /// The notebook as it should be: the cells of the lesson, with the outputs of the cells that have not changed.
    ///
    /// # Errors
    /// As of the lesson and of the notebook.
    pub fn fresh_notebook(&self) -> Result<Notebook, String> {
        let mut notebook = Notebook::from_lesson(&self.lesson()?);
        if let Some(old) = self.read_notebook()? {
            notebook.keep_outputs(&old);
        }
        Ok(notebook)
    }

    /// Why the notebook must be made again; `None` when it is up to date.
    ///
    /// # Errors
    /// As of the lesson and of the notebook.
    pub fn stale(&self) -> Result<Option<String>, String> {
        let lesson = Notebook::from_lesson(&self.lesson()?);
        Ok(match self.read_notebook()? {
            None => Some("there is no notebook yet".into()),
            Some(notebook) if !notebook.same_cells(&lesson) => Some("the lesson has changed".into()),
            Some(notebook) if notebook.metadata.get("kernelspec") != lesson.metadata.get("kernelspec") => {
                Some("it names another kernel".into())
            }
            Some(_) if self.stale_solutions()? => Some("the solutions have changed".into()),
            Some(_) => None,
        })
    }

    /// Whether the notebook of solutions is not what the lesson makes of it; it is kept without outputs.
    fn stale_solutions(&self) -> Result<bool, String> {
        let written = self.solutions.exists().then(|| read(&self.solutions)).transpose()?;
        Ok(written != Notebook::solved(&self.lesson()?).map(|notebook| notebook.write()))
    }

    /// Writes the notebook of solutions, or removes one that the lesson has no longer; returns whether something changed.
    ///
    /// # Errors
    /// As of the lesson, or the file cannot be written.
    pub fn write_solutions(&self) -> Result<bool, String> {
        if !self.stale_solutions()? {
            return Ok(false);
        }
        let failed = |error| format!("{}: {error}", self.solutions.display());
        match Notebook::solved(&self.lesson()?) {
            Some(notebook) => {
                std::fs::create_dir_all(self.solutions.parent().unwrap_or(Path::new("."))).map_err(failed)?;
                notebook.save(&self.solutions).map_err(failed)?;
            }
            None => std::fs::remove_file(&self.solutions).map_err(failed)?,
        }
        Ok(true)
    }

    /// Writes the notebook; returns whether the file changed.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_notebook(&self, notebook: &Notebook) -> Result<bool, String> {
        if read(&self.notebook).is_ok_and(|old| old == notebook.write()) {
            return Ok(false);
        }
        notebook.save(&self.notebook).map(|()| true).map_err(|error| format!("{}: {error}", self.notebook.display()))
    }
}

const MODULES_HEAD: &str = "\
//! Every lesson as a module of one test program, so that `cargo test` compiles the course.
//!
//! Written by `cargo lab build` from the files of this folder.

// A lesson shows one thing at a time: unused values, and copies where a borrow would do.
#![allow(unused, clippy::cloned_ref_to_slice_refs)]
";
const MODULES_LIST: &str = "
/// A lesson: its name and its code.
type Lesson = (&'static str, fn() -> finetuning::Result<()>);

const LESSONS: &[Lesson] = &[
";
const MODULES_TEST: &str = "];

#[test]
fn every_lesson_is_compiled() {
    let lessons = notebooks::course::lessons(notebooks::course::folder()).unwrap();
    let names = LESSONS.iter().map(|(name, _)| *name);
    assert!(lessons.iter().map(|lesson| lesson.name.as_str()).eq(names), \"type `cargo lab build`\");
}
";

/// The text of `lessons/all.rs`, which makes every lesson a module of one test program.
pub fn modules(lessons: &[LessonFile]) -> String {
    let mut text = String::from(MODULES_HEAD);
    for LessonFile { name, .. } in lessons {
        text.push_str(&format!("\n#[path = \"{name}.rs\"]\nmod lesson_{name};\n"));
    }
    text.push_str(MODULES_LIST);
    for LessonFile { name, .. } in lessons {
        text.push_str(&format!("    (\"{name}\", lesson_{name}::lesson),\n"));
    }
    text.push_str(MODULES_TEST);
    text
}

/// Writes `lessons/all.rs`; returns whether the file changed.
///
/// # Errors
/// The file cannot be written.
pub fn write_modules(folder: &Path, lessons: &[LessonFile]) -> Result<bool, String> {
    write(&folder.join("lessons/all.rs"), &modules(lessons))
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<bool, String> {
    if std::fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(false);
    }
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::{LessonFile, folder, lessons, select};
    use crate::cells::tests::{GRADED, LESSON};

    #[test]
    fn every_lesson_keeps_its_text_and_its_notebook_is_complete() {
        for lesson in lessons(folder()).unwrap() {
            let text = super::read(&lesson.source).unwrap();
            assert_eq!(lesson.lesson().unwrap().join(), text);
            let name = &lesson.name;
            assert_eq!(lesson.stale().unwrap(), None, "{name}: type `cargo lab build {name}`");
            let notebook = lesson.read_notebook().unwrap().unwrap();
            assert_eq!(notebook.missing_outputs(), [""; 0], "{name}: type `cargo lab run {name} --write`");
        }
    }

    /// A folder with the lesson 1 of this text.
    fn written(text: &str) -> (tempfile::TempDir, LessonFile) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("lessons")).unwrap();
        std::fs::write(folder.path().join("lessons/01_test.rs"), text).unwrap();
        let lesson = lessons(folder.path()).unwrap().remove(0);
        (folder, lesson)
    }

    #[test]
    fn solutions_are_written_and_go_with_their_exercise() {
        let (_folder, lesson) = written(GRADED);
        lesson.write_notebook(&lesson.fresh_notebook().unwrap()).unwrap();
        assert_eq!(lesson.stale().unwrap().as_deref(), Some("the solutions have changed"));
        assert!(lesson.write_solutions().unwrap() && !lesson.write_solutions().unwrap());
        assert_eq!(lesson.stale().unwrap(), None);
        assert!(std::fs::read_to_string(&lesson.solutions).unwrap().contains("check(\\\"1.1\\\", 7)?;"));
        std::fs::write(&lesson.source, GRADED.replace("\"1.1\", 7", "\"1.1\", 8")).unwrap();
        assert_eq!(lesson.stale().unwrap().as_deref(), Some("the solutions have changed"));
        std::fs::write(&lesson.source, LESSON).unwrap();
        assert!(lesson.write_solutions().unwrap() && !lesson.solutions.exists());
    }

    #[test]
    fn an_exercise_belongs_to_its_lesson_and_is_there_once() {
        let (_folder, lesson) = written(&GRADED.replace("=1.1", "=2.1"));
        assert!(lesson.lesson().unwrap_err().ends_with("01_test.rs: exercise 2.1 is not of lesson 1"));
        let (first, last) = GRADED.split_at(GRADED.find("    // %% [markdown] covers").unwrap());
        let task = &last[..last.find("    // %% [markdown]\n").unwrap()];
        let (_folder, lesson) = written(&format!("{first}{task}{last}"));
        assert!(lesson.lesson().unwrap_err().ends_with("01_test.rs: exercise 1.1 is there twice"));
    }

    #[test]
    fn lessons_are_found_by_number_name_and_path() {
        let file = |number, name: &str| LessonFile {
            number,
            name: name.into(),
            source: name.into(),
            notebook: name.into(),
            solutions: name.into(),
        };
        let all = [file(1, "01_why"), file(5, "05_training")];
        for word in ["5", "05", "training", "05_training", "notebooks/05_training.ipynb", "lessons/05_training.rs"] {
            assert_eq!(select(&all, &[word.to_string()]).unwrap(), all[1..], "{word}");
        }
        assert_eq!(select(&all, &[]).unwrap(), all);
        assert_eq!(select(&all, &["9".to_string()]).unwrap_err(), "`9` names no lesson; the lessons are 01_why, 05_training");
    }
}
