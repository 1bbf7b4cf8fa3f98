//! Cells → the history of this and of earlier sessions, in one file of JSON lines.
//!
//! A line is `{"session": 3, "line": 12, "code": "…"}`, and `{"session": 3}` where a session begins. Kernels append whole
//! lines, so many may share the file; what is no such line is skipped.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::kernel::protocol::wire::Request;

/// Names the file; empty: nothing is kept.
pub const FILE: &str = "FINETUNING_HISTORY";
/// A file that has grown over this many bytes is cut to its last half.
const LIMIT: u64 = 8 << 20;

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    session: u64,
    line: usize,
    code: String,
    /// The text of its result; only of this session.
    output: Option<String>,
}

/// All cells that are known.
#[derive(Debug, Default)]
pub struct History {
    file: Option<File>,
    session: u64,
    entries: Vec<Entry>,
}

impl History {
    /// Reads the file and begins a session; without a file that can be written, the history is of this session alone.
    pub fn open(path: Option<PathBuf>) -> History {
        let opened = path.as_deref().map(begin);
        match opened {
            Some(Ok(history)) => history,
            Some(Err(error)) => {
                eprintln!("cells are not kept in {}: {error}", path.unwrap_or_default().display());
                History { session: 1, ..History::default() }
            }
            None => History { session: 1, ..History::default() },
        }
    }

    /// The file that the environment names, or the one in the folder of this machine's things.
    pub fn path(root: &Path) -> Option<PathBuf> {
        match std::env::var_os(FILE) {
            Some(path) => Some(PathBuf::from(path)).filter(|path| !path.as_os_str().is_empty()),
            None => Some(root.join(".lab/history.jsonl")),
        }
    }

    /// Adds a cell.
    pub fn add(&mut self, line: usize, code: &str) {
        if let Some(file) = &mut self.file {
            // A full disk must not stop a cell.
            let _ = file.write_all(format!("{}\n", json!({ "session": self.session, "line": line, "code": code })).as_bytes());
        }
        self.entries.push(Entry { session: self.session, line, code: code.into(), output: None });
    }

    /// Adds the text of a cell's result.
    pub fn set_output(&mut self, line: usize, text: &str) {
        let found = self.entries.iter_mut().rev().find(|entry| entry.session == self.session && entry.line == line);
        if let Some(entry) = found {
            entry.output = Some(text.to_string());
        }
    }

    /// The reply to `history_request`.
    pub fn reply(&self, request: &Request) -> Value {
        let number = |name: &str| request.content[name].as_i64();
        let kind = request.text("hist_access_type");
        let mut found: Vec<&Entry> = self.entries.iter().collect();
        match kind {
            "range" => {
                // 0 is this session, -1 the one before it.
                let session = number("session").unwrap_or(0);
                let session = if session > 0 { session } else { self.session as i64 + session };
                let (start, stop) = (number("start").unwrap_or(0), number("stop").unwrap_or(i64::MAX));
                found.retain(|entry| entry.session as i64 == session && (start..stop).contains(&(entry.line as i64)));
            }
            "search" => {
                let pattern = request.content["pattern"].as_str().unwrap_or("*");
                found.retain(|entry| glob(pattern, &entry.code));
            }
            _ => {}
        }
        if request.flag("unique", false) {
            let mut seen = std::collections::HashSet::new();
            found.reverse();
            found.retain(|entry| seen.insert(entry.code.as_str()));
            found.reverse();
        }
        let first = match kind {
            "range" => 0,
            _ => found.len().saturating_sub(request.number("n", usize::MAX)),
        };
        let output = request.flag("output", false);
        let tuple = |entry: &&Entry| match output {
            true => json!([entry.session, entry.line, [entry.code, entry.output]]),
            false => json!([entry.session, entry.line, entry.code]),
        };
        json!({ "status": "ok", "history": found[first..].iter().map(tuple).collect::<Vec<_>>() })
    }
}

/// Reads the file, cuts it when it is long, and writes the line that begins a session; the lock keeps two kernels that
/// start at once from taking the same number.
fn begin(path: &Path) -> std::io::Result<History> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    file.lock()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    if bytes.len() as u64 > LIMIT {
        let half = text.len() - (LIMIT / 2) as usize;
        let cut = (half..text.len()).find(|index| text.as_bytes()[*index] == b'\n').map_or(text.len(), |newline| newline + 1);
        text.drain(..cut);
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(text.as_bytes())?;
    }
    let records: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let session = records.iter().filter_map(|record| record["session"].as_u64()).max().unwrap_or(0) + 1;
    // The first newline ends a line that a full disk or a killed kernel left unfinished.
    let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    file.write_all(format!("{newline}{}\n", json!({ "session": session })).as_bytes())?;
    file.unlock()?;
    let entry = |record: &Value| {
        let (session, line) = (record["session"].as_u64()?, record["line"].as_u64()? as usize);
        Some(Entry { session, line, code: record["code"].as_str()?.into(), output: None })
    };
    Ok(History { file: Some(file), session, entries: records.iter().filter_map(entry).collect() })
}

/// Whether the text matches a pattern in which `*` stands for any text and `?` for one character.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    // After a mismatch, the last `*` takes one character more.
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(char) if *char == '?' || *char == text[t] => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((star_p, star_t)) => {
                    (p, t) = (star_p + 1, star_t + 1);
                    star = Some((star_p, star_t + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|char| *char == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, text, matches) in [
            ("*", "", true),
            ("1?2*", "1+2 = 3", true),
            ("1?2", "12", false),
            ("*é*", "aéb", true),
            ("", "a", false),
            ("a*b*c", "abbc", true),
        ] {
            assert_eq!(glob(pattern, text), matches, "{pattern} {text}");
        }
        assert!(!glob(&"*a".repeat(50), &"a".repeat(40)));
    }

    #[test]
    fn a_later_session_knows_the_cells_of_an_earlier_one() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("history.jsonl");
        let mut first = History::open(Some(path.clone()));
        first.add(1, "let é = \"\n\";");
        // Unfinished, as after a power cut.
        std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"session\":1,\"li").unwrap();
        let mut second = History::open(Some(path.clone()));
        second.add(1, "2");
        let third = History::open(Some(path.clone()));
        let found: Vec<_> = third.entries.iter().map(|entry| (entry.session, entry.line, entry.code.as_str())).collect();
        assert_eq!(found, [(1, 1, "let é = \"\n\";"), (2, 1, "2")]);
        assert_eq!(third.session, 3);
    }
}
