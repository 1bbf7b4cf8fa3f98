//! A learner's folder → a mark for each exercise, by the progress file and by what the notebooks beside it show.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use notebooks::Notebook;
use serde_json::Value;

use crate::lab::grading::number::Number;

/// The file that the companion's `check` writes.
pub const PROGRESS: &str = "progress.json";
/// The most bytes of it: one with all exercises has 2 KB.
const LARGEST: u64 = 1 << 20;

/// How far a learner is with an exercise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// The progress file says so, and so does the run of a notebook.
    Solved,
    /// Said to be solved by one of the two alone.
    Claimed,
    /// Checked so often, and not solved.
    Tried(u64),
}

/// What a progress file says of an exercise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub tries: u64,
    pub solved: bool,
}

/// A learner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Learner {
    /// The folder's name.
    pub name: String,
    pub folder: PathBuf,
    pub marks: BTreeMap<Number, Mark>,
    /// What does not fit together, each with the learner's name in front.
    pub notes: Vec<String>,
}

/// The learners of these folders: each is one, or holds one in each of its folders.
///
/// # Errors
/// The folder in which there is none.
pub fn find(folders: &[PathBuf]) -> Result<Vec<(String, PathBuf)>, String> {
    let mut found = Vec::new();
    for folder in folders {
        let name = |folder: &Path| {
            let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
            whole.file_name().map_or_else(|| whole.display().to_string(), |name| name.to_string_lossy().into_owned())
        };
        if is_learner(folder) {
            found.push((name(folder), folder.clone()));
            continue;
        }
        let entries = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut inside: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
        inside.sort();
        let learner = |path: PathBuf| {
            let own = [path.clone(), path.join("work")].into_iter().find(|path| is_learner(path))?;
            Some((name(&path), own))
        };
        let before = found.len();
        found.extend(inside.into_iter().filter_map(learner));
        if found.len() == before {
            return Err(format!("{}: neither {PROGRESS} nor a notebook is in it, or in one of its folders", folder.display()));
        }
    }
    Ok(found)
}

fn is_learner(folder: &Path) -> bool {
    folder.join(PROGRESS).exists() || !notebooks_in(folder).is_empty()
}

/// The notebooks of a folder, by name.
pub fn notebooks_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|end| end == "ipynb") && path.is_file()).collect();
    found.sort();
    found
}

/// The entries of a folder's progress file; none where there is no file.
///
/// # Errors
/// Why the file cannot be read.
pub fn entries(folder: &Path) -> Result<BTreeMap<Number, Entry>, String> {
    let path = folder.join(PROGRESS);
    let Ok(facts) = std::fs::metadata(&path) else { return Ok(BTreeMap::new()) };
    if !facts.is_file() || facts.len() > LARGEST {
        return Err("it is no file, or larger than any progress file".into());
    }
    let mut text = String::new();
    let read = std::fs::File::open(&path).and_then(|file| file.take(LARGEST).read_to_string(&mut text));
    read.map_err(|error| error.to_string())?;
    let value: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let Some(list) = value["exercises"].as_object() else { return Err("it has no `exercises`".into()) };
    let entry = |(name, value): (&String, &Value)| {
        let number = Number::read(name).ok_or_else(|| format!("`{name}` is no number of an exercise"))?;
        let (tries, solved) = (value["tries"].as_u64(), value["solved"].as_bool());
        let (Some(tries), Some(solved)) = (tries, solved) else { return Err(format!("{number} has no `tries` and `solved`")) };
        Ok((number, Entry { tries, solved }))
    };
    list.iter().map(entry).collect()
}

impl Learner {
    /// Reads a folder; `known` are the exercises of the lessons.
    pub fn read(name: String, folder: PathBuf, known: &BTreeSet<Number>) -> Learner {
        let mut learner = Learner { name, folder, marks: BTreeMap::new(), notes: Vec::new() };
        let entries = entries(&learner.folder).unwrap_or_else(|why| {
            learner.note(format!("{PROGRESS} cannot be read: {why}"));
            BTreeMap::new()
        });
        let shown = learner.shown();
        for (number, entry) in &entries {
            let mark = match (entry.solved, shown.contains(number)) {
                (true, true) => Mark::Solved,
                (true, false) => {
                    learner.note(format!("{number} is solved in {PROGRESS}, but no notebook shows the run that solved it"));
                    Mark::Claimed
                }
                (false, _) => Mark::Tried(entry.tries),
            };
            learner.marks.insert(*number, mark);
        }
        for number in shown.iter().filter(|number| entries.get(number).is_none_or(|entry| !entry.solved)) {
            learner.note(format!("a notebook shows that {number} is solved, but {PROGRESS} does not"));
            learner.marks.insert(*number, Mark::Claimed);
        }
        let foreign: Vec<Number> = learner.marks.keys().filter(|number| !known.contains(number)).copied().collect();
        for number in foreign {
            learner.note(format!("no lesson has the exercise {number}"));
            learner.marks.remove(&number);
        }
        learner
    }

    /// Says something about this learner.
    pub fn note(&mut self, what: String) {
        self.notes.push(format!("{}: {what}", self.name));
    }

    /// The exercises of which the output of a cell that calls `check` says that they are solved.
    fn shown(&mut self) -> BTreeSet<Number> {
        let mut shown = BTreeSet::new();
        for path in notebooks_in(&self.folder) {
            let notebook = match Notebook::open(&path) {
                Ok(notebook) => notebook,
                Err(why) => {
                    let why = why.replace(&format!("{}: ", path.display()), "");
                    self.note(format!("{} cannot be read: {why}", path.file_name().unwrap_or_default().to_string_lossy()));
                    continue;
                }
            };
            for cell in notebook.cells.iter().filter(|cell| cell.source.contains("check")) {
                let text = notebooks::contract::text_of(&cell.outputs);
                let solved = text.lines().filter_map(|line| Number::read(line.split_once(" is solved")?.0));
                shown.extend(solved.filter(|number| cell.source.contains(&format!("\"{number}\""))));
            }
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use notebooks::{Kind, NotebookCell};
    use serde_json::json;

    use super::*;

    fn number(text: &str) -> Number {
        Number::read(text).unwrap()
    }

    fn notebook(folder: &Path, name: &str, cells: &[(&str, &str)]) {
        let cell = |(source, text): &(&str, &str)| {
            let mut cell = NotebookCell::new(Kind::Code, "a", *source);
            cell.outputs = vec![json!({"output_type": "stream", "name": "stdout", "text": text})];
            cell
        };
        std::fs::create_dir_all(folder).unwrap();
        Notebook::new(cells.iter().map(cell).collect()).save(&folder.join(name)).unwrap();
    }

    fn progress(folder: &Path, entries: Value) {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join(PROGRESS), json!({"format": 1, "exercises": entries}).to_string()).unwrap();
    }

    fn read(folder: &Path) -> Learner {
        Learner::read("ann".into(), folder.into(), &["1.1", "1.2", "1.3"].into_iter().map(number).collect())
    }

    #[test]
    fn a_mark_needs_the_progress_file_and_a_run() {
        let folder = tempfile::tempdir().unwrap();
        let solved = json!({"tries": 2, "solved": true});
        progress(folder.path(), json!({"1.1": solved, "1.2": solved, "1.3": {"tries": 3, "solved": false}, "9.9": solved}));
        notebook(
            folder.path(),
            "01.ipynb",
            &[("check(\"1.1\", 7)?;", "1.1 is solved (1 of 24)\n"), ("check(\"9.9\", 7)?;", "9.9 is solved\n")],
        );
        let ann = read(folder.path());
        let marks = [(number("1.1"), Mark::Solved), (number("1.2"), Mark::Claimed), (number("1.3"), Mark::Tried(3))];
        assert_eq!(ann.marks, BTreeMap::from(marks));
        assert_eq!(
            ann.notes,
            ["ann: 1.2 is solved in progress.json, but no notebook shows the run that solved it", "ann: no lesson has the exercise 9.9"]
        );
        // What a cell prints of another exercise than the one that it checks is no run of it.
        notebook(folder.path(), "02.ipynb", &[("check(\"1.3\", 7)?; println!(\"1.2 is solved\")", "1.2 is solved\n")]);
        assert_eq!(read(folder.path()).marks, ann.marks);
    }

    #[test]
    fn files_that_do_not_fit_together_or_cannot_be_read_are_named() {
        let folder = tempfile::tempdir().unwrap();
        notebook(folder.path(), "01.ipynb", &[("check(\"1.1\", 7)?;", "1.1 is solved (1 of 24)\n")]);
        std::fs::write(folder.path().join("02.ipynb"), "{").unwrap();
        for (text, why) in [
            ("{\"exercises\": {\"1.1\"", "EOF while"),
            ("[]", "it has no `exercises`"),
            ("{\"exercises\": {\"x\": 1}}", "`x` is no number"),
            ("{\"exercises\": {\"1.1\": {\"tries\": \"2\"}}}", "1.1 has no `tries`"),
        ] {
            std::fs::write(folder.path().join(PROGRESS), text).unwrap();
            let ann = read(folder.path());
            assert!(ann.notes[0].starts_with(&format!("ann: progress.json cannot be read: {why}")), "{:?}", ann.notes);
            assert!(ann.notes[1].starts_with("ann: 02.ipynb cannot be read: not a notebook"), "{:?}", ann.notes);
            assert_eq!(ann.notes[2], "ann: a notebook shows that 1.1 is solved, but progress.json does not");
            assert_eq!(ann.marks[&number("1.1")], Mark::Claimed);
        }
    }

    #[test]
    fn learners_are_found_in_their_folders_or_below() {
        let folder = tempfile::tempdir().unwrap();
        assert!(find(&[folder.path().into()]).unwrap_err().contains("neither progress.json nor a notebook"));
        progress(&folder.path().join("class/bob"), json!({}));
        notebook(&folder.path().join("class/ann/work"), "01.ipynb", &[]);
        std::fs::create_dir_all(folder.path().join("class/empty")).unwrap();
        let names = |path: PathBuf| find(&[path]).unwrap().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(folder.path().join("class")), ["ann", "bob"]);
        assert_eq!(names(folder.path().join("class/bob")), ["bob"]);
    }
}
