//! Bytes or a part of a file → the body of a request, counted, and ended when nobody waits any more.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ureq::SendBody;

use crate::error::Result;

/// What a request carries.
#[derive(Debug, Clone, Default)]
pub(crate) enum Payload {
    #[default]
    Empty,
    Bytes(Vec<u8>),
    /// Some bytes of a file.
    Part {
        path: PathBuf,
        start: u64,
        length: u64,
    },
}

/// Tells an upload that nobody waits any more.
pub(crate) struct Stop(pub(crate) Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Bytes on their way out.
struct Upload<R> {
    bytes: R,
    stopped: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
}

impl<R: Read> Read for Upload<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stopped.load(Ordering::Relaxed) {
            return Err(io::Error::other("stopped"));
        }
        let read = self.bytes.read(buffer)?;
        self.sent.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// The body of a request, whose length goes into its head; what is read of it is counted in `sent`.
pub(crate) fn body(
    payload: Payload,
    request: &mut ureq::http::request::Builder,
    stopped: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
) -> Result<SendBody<'static>, ureq::Error> {
    let (bytes, length): (Box<dyn Read + Send>, u64) = match payload {
        Payload::Empty => return Ok(SendBody::none()),
        Payload::Bytes(bytes) => {
            let length = bytes.len() as u64;
            (Box::new(io::Cursor::new(bytes)), length)
        }
        Payload::Part { path, start, length } => {
            let mut file = std::fs::File::open(path)?;
            file.seek(SeekFrom::Start(start))?;
            (Box::new(file.take(length)), length)
        }
    };
    if let Some(headers) = request.headers_mut() {
        headers.insert("content-length", length.into());
    }
    Ok(SendBody::from_owned_reader(Upload { bytes, stopped, sent }))
}
