//! A folder of the session ↔ what kernel, wrapper of rustc and process of the cells tell each other.
//!
//! The kernel writes the cell that begins; the wrapper proposes what its library will define; the process that loads the
//! library makes it living. A new process begins with nothing.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::kernel::messages::places::{Move, Source};

/// Names the folder, in the environment of cargo and of the process of the cells.
pub const FOLDER: &str = "FINETUNING_STATE";

/// A static, which is gone with its process.
pub const STATIC: &str = "static";
/// A variable, and the key of its type.
pub const VARIABLE: &str = "variable";
/// A type or a trait, and the key that it had first: values of it may be anywhere in the process.
pub const TYPE: &str = "type";
/// A static that a constant reads, so that each library has its own copy: it never changes.
pub const COPIED: &str = "copied";
/// The file of a dependency, and when it was made.
pub const CRATE: &str = "crate";
/// An `impl` block, and the cell that it is from.
pub const BLOCK: &str = "impl";

const CELL: &str = "cell";
const PROPOSED: &str = "proposed";
const LIVING: &str = "living";
const LOST: &str = "lost";
const MESSAGES: &str = "messages";
const MOVES: &str = "moves";
const SOURCES: &str = "sources";

/// The folder.
#[derive(Debug, Clone)]
pub struct Record(PathBuf);

/// What lives in the process of the cells, or will when a library is loaded: values by what they are and which one it is.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Living(HashMap<(String, String), String>);

impl Living {
    /// The value of this kind with this name.
    pub fn get(&self, kind: &str, name: &str) -> Option<&str> {
        self.0.get(&(kind.to_string(), name.to_string())).map(String::as_str)
    }

    /// The names of this kind with this value.
    pub fn names<'a>(&'a self, kind: &'a str, value: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |((own, _), found)| own == kind && *found == value).map(|((_, name), _)| name.as_str())
    }

    /// Notes a value; the later one counts.
    pub fn set(&mut self, kind: &str, name: &str, value: &str) {
        self.0.insert((kind.to_string(), name.to_string()), value.to_string());
    }

    fn read(text: &str) -> Living {
        let mut living = Living::default();
        for line in text.lines() {
            if let [kind, name, value] = line.split('\t').collect::<Vec<_>>()[..] {
                living.set(kind, name, value);
            }
        }
        living
    }

    fn write(&self) -> String {
        // A tab or a newline in a name would be another record.
        let plain = |text: &str| text.replace(['\t', '\n'], " ");
        self.0.iter().map(|((kind, name), value)| format!("{kind}\t{}\t{}\n", plain(name), plain(value))).collect()
    }
}

impl Record {
    /// The record in a folder that exists.
    pub fn at(folder: impl Into<PathBuf>) -> Record {
        Record(folder.into())
    }

    /// The folder, which lasts as long as the session.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// The record that this process was told of.
    pub fn of_environment() -> Option<Record> {
        std::env::var_os(FOLDER).map(|folder| Record(folder.into()))
    }

    /// A cell begins, in the place of an earlier one; its number among all that have begun.
    pub fn begin(&self, cell: &str, replaced: Option<u64>) -> u64 {
        let number = self.cell().0 + 1;
        let replaced = replaced.map(|number| format!(" {number}")).unwrap_or_default();
        let _ = std::fs::write(self.0.join(CELL), format!("{number}{replaced}\n{cell}"));
        let _ = std::fs::remove_file(self.0.join(MESSAGES));
        number
    }

    /// The number of the cell in whose place the last one began.
    pub fn replaced(&self) -> Option<u64> {
        let text = std::fs::read_to_string(self.0.join(CELL)).unwrap_or_default();
        text.lines().next()?.split_once(' ')?.1.parse().ok()
    }

    /// The cells whose items live, the one that begins last.
    pub fn set_sources(&self, cells: &[Source]) {
        let cells: Vec<(usize, &str)> = cells.iter().map(|cell| (cell.number, cell.text.as_str())).collect();
        let _ = std::fs::write(self.0.join(SOURCES), serde_json::to_vec(&cells).unwrap_or_default());
    }

    /// The cells whose items live, the running one last.
    pub fn sources(&self) -> Vec<Source> {
        let cells = std::fs::read(self.0.join(SOURCES)).unwrap_or_default();
        let cells: Vec<(usize, String)> = serde_json::from_slice(&cells).unwrap_or_default();
        cells.into_iter().map(|(number, text)| Source { number, text }).collect()
    }

    /// What the compiler says of a library, as it says it.
    pub fn set_messages(&self, messages: &[u8]) {
        let _ = std::fs::write(self.0.join(MESSAGES), messages);
    }

    /// What the compiler said of the library that it made last; once.
    pub fn messages(&self) -> String {
        let text = std::fs::read_to_string(self.0.join(MESSAGES)).unwrap_or_default();
        let _ = std::fs::remove_file(self.0.join(MESSAGES));
        text
    }

    /// The columns in which what is compiled differs from what evcxr wrote.
    pub fn set_moves(&self, moves: &[Move]) {
        let text: String = moves.iter().map(|of| format!("{}\t{}\t{}\n", of.line, of.column, of.shift)).collect();
        let _ = std::fs::write(self.0.join(MOVES), text);
    }

    /// The columns in which what was compiled last differs from what evcxr wrote.
    pub fn moves(&self) -> Vec<Move> {
        let text = std::fs::read_to_string(self.0.join(MOVES)).unwrap_or_default();
        let of = |line: &str| {
            let mut numbers = line.split('\t');
            Some(Move { line: numbers.next()?.parse().ok()?, column: numbers.next()?.parse().ok()?, shift: numbers.next()?.parse().ok()? })
        };
        text.lines().filter_map(of).collect()
    }

    /// How many cells have begun, and the text of the last one.
    pub fn cell(&self) -> (u64, String) {
        let text = std::fs::read_to_string(self.0.join(CELL)).unwrap_or_default();
        let (numbers, cell) = text.split_once('\n').unwrap_or_default();
        let number = numbers.split(' ').next().unwrap_or_default();
        (number.parse().unwrap_or(0), cell.to_string())
    }

    /// What lives in the process of the cells.
    pub fn living(&self) -> Living {
        Living::read(&std::fs::read_to_string(self.0.join(LIVING)).unwrap_or_default())
    }

    /// What the library that is compiled now will add, if it is loaded.
    pub fn propose(&self, new: &Living) {
        let _ = std::fs::write(self.0.join(PROPOSED), new.write());
    }

    /// Whether the library that was compiled last defines a static, which later ones have to find.
    pub fn proposes_statics(&self) -> bool {
        let new = std::fs::read_to_string(self.0.join(PROPOSED)).unwrap_or_default();
        Living::read(&new).0.keys().any(|(kind, _)| kind == STATIC)
    }

    /// The library that was compiled last is loaded.
    pub fn loaded(&self) {
        let Ok(new) = std::fs::read(self.0.join(PROPOSED)) else { return };
        self.append(LIVING, &new);
        let _ = std::fs::remove_file(self.0.join(PROPOSED));
    }

    /// A new process of the cells begins.
    pub fn forget(&self) {
        for name in [PROPOSED, LOST] {
            let _ = std::fs::remove_file(self.0.join(name));
        }
        // Items are known to evcxr as before.
        let mut living = self.living();
        living.0.retain(|(kind, _), _| kind == BLOCK || kind == COPIED);
        let _ = std::fs::write(self.0.join(LIVING), living.write());
    }

    /// The library that was compiled last will not read these variables, each with its type.
    pub fn lose(&self, variables: &[(String, String)]) {
        let text: String = variables.iter().map(|(name, kind)| format!("{name}\t{}\n", kind.replace('\n', " "))).collect();
        self.append(LOST, text.as_bytes());
    }

    /// From now on, each library has its own copy of these statics.
    pub fn copy(&self, statics: &[String]) {
        let mut copied = Living::default();
        statics.iter().for_each(|name| copied.set(COPIED, name, ""));
        self.append(LIVING, copied.write().as_bytes());
    }

    fn append(&self, name: &str, text: &[u8]) {
        let file = std::fs::OpenOptions::new().append(true).create(true).open(self.0.join(name));
        let _ = file.and_then(|mut file| file.write_all(text));
    }

    /// The variables that were lost since the last call because their type has changed, with the name of the type.
    pub fn lost(&self) -> Vec<(String, String)> {
        let text = std::fs::read_to_string(self.0.join(LOST)).unwrap_or_default();
        let _ = std::fs::remove_file(self.0.join(LOST));
        text.lines().filter_map(|line| line.split_once('\t')).map(|(name, kind)| (name.into(), kind.into())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_proposed_lives_once_it_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let record = Record::at(folder.path());
        assert_eq!(record.begin("let a = 1;\nb", None), 1);
        assert_eq!(record.replaced(), None);
        record.begin("c", Some(1));
        assert_eq!((record.cell(), record.replaced()), ((2, "c".into()), Some(1)));
        let mut new = Living::default();
        new.set(STATIC, "f\tN", "one");
        assert!(!record.proposes_statics());
        record.propose(&new);
        assert!(record.proposes_statics());
        assert_eq!(record.living(), Living::default());
        record.loaded();
        assert_eq!(record.living().get(STATIC, "f N"), Some("one"));
        let mut later = Living::default();
        later.set(STATIC, "f N", "two");
        record.propose(&later);
        record.loaded();
        assert_eq!(record.living().get(STATIC, "f N"), Some("two"));
        later.set(BLOCK, "b", "1");
        record.propose(&later);
        record.loaded();
        record.forget();
        assert_eq!((record.living().get(STATIC, "f N"), record.living().get(BLOCK, "b")), (None, Some("1")));
        // A library that no cell has proposed anything for.
        record.loaded();
        assert_eq!(record.living().get(STATIC, "f N"), None);
    }
}
