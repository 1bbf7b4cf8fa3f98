//! Cells → the history of this and of earlier sessions, in one file of JSON lines.
//!
//! A line is `{"session": 3, "line": 12, "code": "…"}`, and `{"session": 3}` where a session begins. Kernels append whole
//! lines, so many may share the file; what is no such line is skipped.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::kernel::protocol::wire::Request;

/// Names the file; empty: nothing is kept.
pub const FILE: &str = "FINETUNING_HISTORY";
/// A file that has grown over this many bytes is cut to a half of them; a session writes and remembers no more either.
const LIMIT: u64 = 8 << 20;
/// What an entry costs beside its texts.
const ENTRY: usize = 64;
/// A result of more bytes is not remembered.
const RESULT: usize = 64 << 10;
/// How long another program may hold the file before it is used all the same.
const PATIENCE: Duration = Duration::from_millis(500);

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
    entries: VecDeque<Entry>,
    /// The bytes of the entries, and those that this session has written.
    bytes: usize,
    written: usize,
}

impl Entry {
    fn bytes(&self) -> usize {
        self.code.len() + self.output.as_ref().map_or(0, String::len) + ENTRY
    }
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
        let entry = format!("{}\n", json!({ "session": self.session, "line": line, "code": code }));
        self.written += entry.len();
        if let Some(file) = self.file.as_mut().filter(|_| self.written as u64 <= LIMIT) {
            // A full disk must not stop a cell.
            let _ = file.write_all(entry.as_bytes());
        }
        self.push(Entry { session: self.session, line, code: code.into(), output: None });
    }

    /// Remembers an entry, and forgets old ones when there are too many.
    fn push(&mut self, entry: Entry) {
        self.bytes += entry.bytes();
        self.entries.push_back(entry);
        while self.bytes as u64 > LIMIT && self.entries.len() > 1 {
            self.bytes -= self.entries.pop_front().map_or(0, |entry| entry.bytes());
        }
    }

    /// Adds the text of a cell's result.
    pub fn set_output(&mut self, line: usize, text: &str) {
        let found = self.entries.iter_mut().rev().find(|entry| entry.session == self.session && entry.line == line);
        if let Some(entry) = found.filter(|entry| entry.output.is_none() && text.len() <= RESULT) {
            self.bytes += text.len();
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

/// Whether the lock of the file is ours; a program that keeps it for long does not keep a kernel from starting.
fn lock_within(file: &File, patience: Duration) -> bool {
    let start = Instant::now();
    while file.try_lock().is_err() {
        if start.elapsed() > patience {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

/// Reads the end of the file, cuts it when it is long, and writes the line that begins a session; the lock keeps two kernels
/// that start at once from taking the same number, and a file that is not locked is not cut.
fn begin(path: &Path) -> std::io::Result<History> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // Cells may hold what nobody else is to read.
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).custom_flags(libc::O_NONBLOCK).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(std::io::Error::other("it is no file"));
    }
    if found.permissions().mode() & 0o077 != 0 {
        file.set_permissions(PermissionsExt::from_mode(0o600))?;
    }
    let locked = lock_within(&file, PATIENCE);
    let skipped = found.len().saturating_sub(LIMIT);
    file.seek(SeekFrom::Start(skipped))?;
    let mut bytes = Vec::new();
    (&mut file).take(LIMIT).read_to_end(&mut bytes)?;
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    if skipped > 0 {
        let half = text.len() / 2;
        let cut = (half..text.len()).find(|index| text.as_bytes()[*index] == b'\n').map_or(text.len(), |newline| newline + 1);
        text.drain(..cut);
        if locked {
            file.set_len(0)?;
            file.write_all(text.as_bytes())?;
        }
    }
    let records: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let session = records.iter().filter_map(|record| record["session"].as_u64()).max().unwrap_or(0) + 1;
    // The first newline ends a line that a full disk or a killed kernel left unfinished.
    let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    file.write_all(format!("{newline}{}\n", json!({ "session": session })).as_bytes())?;
    if locked {
        file.unlock()?;
    }
    let entry = |record: &Value| {
        let (session, line) = (record["session"].as_u64()?, record["line"].as_u64()? as usize);
        Some(Entry { session, line, code: record["code"].as_str()?.into(), output: None })
    };
    let mut history = History { file: Some(file), session, ..History::default() };
    records.iter().filter_map(entry).for_each(|entry| history.push(entry));
    Ok(history)
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

    #[test]
    fn the_file_is_private_bounded_and_never_waited_for() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("history.jsonl");
        let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        drop(History::open(Some(path.clone())));
        assert_eq!(mode(), 0o600);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        // Another program keeps the lock.
        let other = File::options().append(true).open(&path).unwrap();
        other.lock().unwrap();
        let start = Instant::now();
        let mut history = History::open(Some(path.clone()));
        assert!(start.elapsed() < Duration::from_secs(5) && history.session == 2 && mode() == 0o600);
        // A long session is neither written nor remembered without end, and neither is a long file read whole.
        let cell = "x".repeat(1 << 20);
        (1..=30).for_each(|line| history.add(line, &cell));
        history.set_output(30, &"y".repeat(RESULT + 1));
        assert!(history.entries.len() <= 8 && history.entries.back().unwrap().line == 30);
        assert!(history.entries.back().unwrap().output.is_none());
        let length = || std::fs::metadata(&path).unwrap().len();
        assert!(length() <= LIMIT + (1 << 10), "{}", length());
        other.unlock().unwrap();
        File::options().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(History::open(Some(path.clone())).session, 1);
        assert!(length() <= LIMIT);
        // Whatever else bears the name is left alone.
        let fifo = home.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        assert!(History::open(Some(fifo)).file.is_none());
    }
}
