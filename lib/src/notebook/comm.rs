//! A two-way channel to the front end of a notebook, such as a widget of JupyterLab.
//!
//! In and out: JSON, also while the cell runs. Only under our kernel, which passes the messages on; elsewhere opening
//! one is an error that says so. The messages are those of the Jupyter protocol, without binary buffers.

use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::display::output::send;
use crate::error::{Error, ErrorKind, Result};
use crate::util::interrupt;

/// An open channel; closed when it is dropped.
#[derive(Debug)]
pub struct Comm {
    id: String,
    inbox: Inbox,
    closed: bool,
}

/// A name that the front end may open channels to; gone when it is dropped.
#[derive(Debug)]
pub struct CommTarget {
    id: String,
    inbox: Inbox,
}

/// A file to which the kernel appends what the front end sends, a line of JSON each.
#[derive(Debug)]
struct Inbox {
    file: PathBuf,
    /// How many bytes of it were read.
    read: u64,
}

impl Comm {
    /// Opens a channel to the target that the front end has registered under this name.
    ///
    /// # Errors
    /// Outside our kernel.
    pub fn open(target: &str, data: Value) -> Result<Comm> {
        let (id, inbox) = Inbox::new(target)?;
        send(&json!({ "comm_open": { "id": id, "target": target, "data": data } }));
        Ok(Comm { id, inbox, closed: false })
    }

    /// Sends a message.
    pub fn send(&self, data: &Value) {
        send(&json!({ "comm_msg": { "id": self.id, "data": data } }));
    }

    /// The next message of the front end; none when it sends nothing for so long, or has closed the channel.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`], and a file that cannot be read.
    pub fn receive(&mut self, patience: Duration) -> Result<Option<Value>> {
        if self.closed {
            return Ok(None);
        }
        let mut message = self.inbox.wait(patience)?;
        self.closed = message.as_ref().is_some_and(|message| message["close"] == true);
        Ok(message.as_mut().filter(|_| !self.closed).map(|message| message["data"].take()))
    }

    /// Whether the front end has closed the channel.
    pub fn is_closed(&self) -> bool {
        self.closed
    }
}

impl Drop for Comm {
    fn drop(&mut self) {
        if !self.closed {
            send(&json!({ "comm_close": { "id": self.id } }));
        }
    }
}

impl CommTarget {
    /// Lets the front end open channels to this name, in place of an earlier target of the name.
    ///
    /// # Errors
    /// Outside our kernel.
    pub fn register(target: &str) -> Result<CommTarget> {
        let (id, inbox) = Inbox::new(target)?;
        send(&json!({ "comm_target": { "id": id, "target": target } }));
        Ok(CommTarget { id, inbox })
    }

    /// The next channel that the front end opens, with what it sent along; none when it opens none for so long.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`], and a file that cannot be read.
    pub fn accept(&mut self, patience: Duration) -> Result<Option<(Comm, Value)>> {
        let Some(mut message) = self.inbox.wait(patience)? else { return Ok(None) };
        let id = message["open"].as_str().unwrap_or_default().to_string();
        let inbox = Inbox { file: self.inbox.file.with_file_name(format!("{id}.jsonl")), read: 0 };
        Ok(Some((Comm { id, inbox, closed: false }, message["data"].take())))
    }
}

impl Drop for CommTarget {
    fn drop(&mut self) {
        send(&json!({ "comm_target_end": { "id": self.id } }));
    }
}

impl Inbox {
    /// A new one and its id.
    fn new(target: &str) -> Result<(String, Inbox)> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let Some(folder) = std::env::var_os("FINETUNING_COMMS").map(PathBuf::from) else {
            return Err(Error::new(
                ErrorKind::Name,
                format!("no front end listens for the comm {target:?}: this is no cell of our kernel"),
            )
            .hint("run the cell in JupyterLab: cargo lab"));
        };
        let id = format!("comm-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Ok((id.clone(), Inbox { file: folder.join(format!("{id}.jsonl")), read: 0 }))
    }

    /// The next message; none when none comes for so long.
    fn wait(&mut self, patience: Duration) -> Result<Option<Value>> {
        let asked = Instant::now();
        loop {
            match self.next()? {
                None if asked.elapsed() < patience => {
                    interrupt::check("while waiting for the front end")?;
                    std::thread::sleep(Duration::from_millis(10));
                }
                message => return Ok(message),
            }
        }
    }

    fn next(&mut self) -> Result<Option<Value>> {
        let Ok(mut file) = std::fs::File::open(&self.file) else { return Ok(None) };
        let mut line = String::new();
        let read = file.seek(SeekFrom::Start(self.read)).and_then(|_| BufReader::new(file).read_line(&mut line));
        read.map_err(|error| Error::file(&self.file, error))?;
        // A line without its end is still being written.
        if !line.ends_with('\n') {
            return Ok(None);
        }
        self.read += line.len() as u64;
        Ok(serde_json::from_str(&line).ok())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn messages_are_read_once_and_whole_until_the_front_end_closes() {
        let file = std::env::temp_dir().join(format!("finetuning-comm-{}", std::process::id()));
        let mut comm = Comm { id: "c".into(), inbox: Inbox { file: file.clone(), read: 0 }, closed: false };
        assert_eq!(comm.receive(Duration::ZERO).unwrap(), None);
        let mut out = std::fs::File::create(&file).unwrap();
        out.write_all("{\"data\":{\"é\":1}}\n{\"data\":2".as_bytes()).unwrap();
        assert_eq!(comm.receive(Duration::ZERO).unwrap(), Some(json!({ "é": 1 })));
        assert_eq!(comm.receive(Duration::ZERO).unwrap(), None);
        out.write_all(b"}\n{\"close\":true}\n").unwrap();
        assert_eq!(comm.receive(Duration::ZERO).unwrap(), Some(json!(2)));
        assert_eq!(comm.receive(Duration::MAX).unwrap(), None);
        assert!(comm.is_closed());
        std::fs::remove_file(file).unwrap();
    }

    #[test]
    fn a_target_gives_the_channels_that_the_front_end_opens() {
        let file = std::env::temp_dir().join(format!("finetuning-target-{}", std::process::id()));
        let mut target = CommTarget { id: "t".into(), inbox: Inbox { file: file.clone(), read: 0 } };
        assert!(target.accept(Duration::ZERO).unwrap().is_none());
        std::fs::write(&file, "{\"open\":\"front-1\",\"data\":3}\n").unwrap();
        let (comm, data) = target.accept(Duration::MAX).unwrap().unwrap();
        assert_eq!((comm.id.as_str(), comm.inbox.file.file_name().unwrap()), ("front-1", "front-1.jsonl".as_ref()));
        assert_eq!((data, target.accept(Duration::ZERO).unwrap().is_none()), (json!(3), true));
        std::fs::remove_file(file).unwrap();
    }

    #[test]
    fn without_our_kernel_a_comm_says_what_to_do() {
        let error = Comm::open("slider", json!({})).unwrap_err().to_string();
        assert!(error.contains("\"slider\"") && error.contains("cargo lab"), "{error}");
    }
}
