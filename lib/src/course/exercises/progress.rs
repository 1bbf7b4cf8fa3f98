//! The learner's work folder ↔ its progress file: how often each exercise was checked, and whether it is solved.
//!
//! The file is replaced as a whole under a lock, so that several kernels may write at once; one that cannot be read is put aside, never
//! overwritten.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::border::file;
use crate::border::limits::Limit;
use crate::error::{Error, Result};
use crate::util::notice;
use crate::util::write::write_whole;

/// Names the folder, where it is not the one that cells work in.
pub const WORK: &str = "FINETUNING_WORK";
/// The file.
const FILE: &str = "progress.json";
/// What writers lock; it stays.
const LOCK: &str = ".progress.lock";
/// The folder of solved notebooks, whose runs are nobody's progress.
const SOLUTIONS: &str = "solutions";
/// A progress file with all exercises has 2 KB.
const LIMIT: Limit = Limit::new("a progress file", 1 << 20);

/// A folder in which progress is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress(PathBuf);

/// How things stand after a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// Checks of this exercise that failed, in all.
    pub failures: usize,
    /// Exercises that are solved, in all.
    pub solved: usize,
}

impl Progress {
    /// That of the folder that `FINETUNING_WORK` names, else of the folder that the cells work in; none for a notebook of solutions.
    pub fn here() -> Option<Progress> {
        let own = std::env::current_dir().unwrap_or_default();
        let named = std::env::var_os(WORK).filter(|folder| !folder.is_empty()).map(PathBuf::from);
        (!own.ends_with(SOLUTIONS)).then(|| Progress(named.unwrap_or(own)))
    }

    /// That of this folder.
    pub fn of(folder: impl Into<PathBuf>) -> Progress {
        Progress(folder.into())
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// Notes a check of an exercise: solved stays solved, the best score is kept.
    ///
    /// # Errors
    /// [`crate::ErrorKind::File`] when the folder cannot be written.
    pub fn note(&self, number: &str, solved: bool, score: Option<f64>) -> Result<Standing> {
        std::fs::create_dir_all(&self.0).map_err(|error| Error::file(&self.0, error))?;
        let lock = self.0.join(LOCK);
        let lock = File::options().write(true).create(true).truncate(false).open(&lock).map_err(|error| Error::file(&lock, error))?;
        // Some file systems know no locks; there the last writer wins.
        let _ = lock.lock();
        let mut entries = self.read()?;
        let before = entries.get(number).cloned().unwrap_or_default();
        let count = |name: &str| before[name].as_u64().unwrap_or(0);
        let best = [before["best"].as_f64(), score].into_iter().flatten().reduce(f64::max);
        let failures = count("failures") + u64::from(!solved);
        let was = before["solved"] == true;
        let mut entry = json!({ "tries": count("tries") + 1, "failures": failures, "solved": solved || was });
        if let Some(best) = best {
            entry["best"] = json!(best);
        }
        entries.insert(number.into(), entry);
        let solved = entries.values().filter(|entry| entry["solved"] == true).count();
        entries.sort_keys();
        let text = serde_json::to_string_pretty(&json!({ "format": 1, "exercises": entries })).unwrap_or_default() + "\n";
        write_whole(&self.0.join(FILE), text.as_bytes())?;
        Ok(Standing { failures: failures as usize, solved })
    }

    /// The entries; a file that is none is put aside, aloud.
    fn read(&self) -> Result<Map<String, Value>> {
        let path = self.0.join(FILE);
        let entries = |bytes: &[u8]| match serde_json::from_slice(bytes) {
            Ok(Value::Object(mut whole)) => match whole.remove("exercises") {
                Some(Value::Object(entries)) if entries.values().all(Value::is_object) => Some(entries),
                _ => None,
            },
            _ => None,
        };
        let bytes = file::read_if_there(&path, LIMIT);
        let read = match &bytes {
            Ok(None) => return Ok(Map::new()),
            Ok(Some(bytes)) => entries(bytes),
            Err(_) => None,
        };
        if let Some(entries) = read {
            return Ok(entries);
        }
        let aside = (1..).map(|number| self.0.join(format!("progress.broken-{number}.json"))).find(|path| !path.exists());
        let aside = aside.unwrap_or_else(|| self.0.join("progress.broken.json"));
        std::fs::rename(&path, &aside).map_err(|error| Error::file(&path, error))?;
        notice::warn(format_args!("`{FILE}` could not be read; it is now `{}`, and a new one begins", aside.display()));
        Ok(Map::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(folder: &Path, number: &str) -> Value {
        let text = std::fs::read(folder.join(FILE)).unwrap();
        serde_json::from_slice::<Value>(&text).unwrap()["exercises"][number].clone()
    }

    #[test]
    fn failures_are_counted_and_what_is_solved_stays_solved() {
        let folder = tempfile::tempdir().unwrap();
        let progress = Progress::of(folder.path().join("new"));
        let standing = |failures, solved| Standing { failures, solved };
        assert_eq!(progress.note("2.1", false, None).unwrap(), standing(1, 0));
        assert_eq!(progress.note("2.1", false, None).unwrap(), standing(2, 0));
        assert_eq!(progress.note("1.3", true, Some(0.8)).unwrap(), standing(0, 1));
        assert_eq!(progress.note("1.3", true, Some(0.6)).unwrap(), standing(0, 1));
        assert_eq!(progress.note("2.1", true, None).unwrap(), standing(2, 2));
        assert_eq!(progress.note("2.1", false, None).unwrap(), standing(3, 2));
        assert_eq!(entry(progress.folder(), "2.1"), json!({"tries": 4, "failures": 3, "solved": true}));
        assert_eq!(entry(progress.folder(), "1.3"), json!({"tries": 2, "failures": 0, "solved": true, "best": 0.8}));
    }

    #[test]
    fn a_broken_file_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let progress = Progress::of(folder.path());
        for (place, text) in ["{\"exercises\": {\"2.1\"", "[]", "{\"exercises\": {\"2.1\": 3}}", "\u{0}"].into_iter().enumerate() {
            std::fs::write(folder.path().join(FILE), text).unwrap();
            assert_eq!(progress.note("2.1", true, None).unwrap(), Standing { failures: 0, solved: 1 });
            let aside = folder.path().join(format!("progress.broken-{}.json", place + 1));
            assert_eq!(std::fs::read_to_string(aside).unwrap(), text);
        }
    }

    #[test]
    fn many_writers_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let progress = Progress::of(folder.path());
                scope.spawn(move || {
                    (0..10).for_each(|_| {
                        progress.note(&format!("{}.1", writer % 2 + 1), false, None).unwrap();
                    })
                });
            }
        });
        assert_eq!((entry(folder.path(), "1.1")["tries"].clone(), entry(folder.path(), "2.1")["tries"].clone()), (json!(20), json!(20)));
        let left: Vec<String> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().display().to_string()).collect();
        assert_eq!(left.len(), 2, "{left:?}");
    }
}
