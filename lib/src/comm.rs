//! A two-way channel to the front end of a notebook, such as a widget of JupyterLab.
//!
//! In and out: JSON, also while the cell runs. Only under our kernel, which passes the messages on; elsewhere opening
//! one is an error that says so. The messages are those of the Jupyter protocol, without binary buffers.

use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::display::send;
use crate::error::{Error, ErrorKind, Result};
use crate::interrupt;

/// An open channel; closed when it is dropped.
#[derive(Debug)]
pub struct Comm {
    id: String,
    file: PathBuf,
    /// How many bytes of the file were read.
    read: u64,
    closed: bool,
}

impl Comm {
    /// Opens a channel to the target that the front end has registered under this name.
    ///
    /// # Errors
    /// Outside our kernel.
    pub fn open(target: &str, data: Value) -> Result<Comm> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let Some(folder) = std::env::var_os("FINETUNING_COMMS").map(PathBuf::from) else {
            return Err(Error::new(
                ErrorKind::Name,
                format!("no front end listens for the comm {target:?}: this is no cell of our kernel"),
            )
            .hint("run the cell in JupyterLab: cargo lab"));
        };
        let id = format!("comm-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        send(&json!({ "comm_open": { "id": id, "target": target, "data": data } }));
        Ok(Comm { file: folder.join(format!("{id}.jsonl")), id, read: 0, closed: false })
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
        let asked = Instant::now();
        while !self.closed {
            match self.next()? {
                Some(message) if message["close"] == true => self.closed = true,
                Some(mut message) => return Ok(Some(message["data"].take())),
                None if asked.elapsed() >= patience => return Ok(None),
                None => {
                    interrupt::check("while waiting for the front end")?;
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
        }
        Ok(None)
    }

    /// Whether the front end has closed the channel.
    pub fn is_closed(&self) -> bool {
        self.closed
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

impl Drop for Comm {
    fn drop(&mut self) {
        if !self.closed {
            send(&json!({ "comm_close": { "id": self.id } }));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn messages_are_read_once_and_whole_until_the_front_end_closes() {
        let file = std::env::temp_dir().join(format!("finetuning-comm-{}", std::process::id()));
        let mut comm = Comm { id: "c".into(), file: file.clone(), read: 0, closed: false };
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
    fn without_our_kernel_a_comm_says_what_to_do() {
        let error = Comm::open("slider", json!({})).unwrap_err().to_string();
        assert!(error.contains("\"slider\"") && error.contains("cargo lab"), "{error}");
    }
}
