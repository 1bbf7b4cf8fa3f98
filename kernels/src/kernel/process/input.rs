//! Answers of the user → the standard input of the running cell, and of the programs that it starts.
//!
//! Each cell has a pipe of its own, which ends with it: what still reads then, such as a program in the background, finds the end.
//! Between cells there is nothing to read.

use std::fs::File;
use std::io::{PipeReader, PipeWriter, Write};
use std::os::fd::AsFd;
use std::sync::Mutex;
use std::time::Duration;

use crate::kernel::lock::lock;
use crate::system::{descriptor, process};

/// How long the cell's own reading has to fail before the programs that it has started find the end.
const PROGRAMS: Duration = Duration::from_millis(50);

/// The input of the cells.
pub struct Input {
    nothing: File,
    cell: Mutex<Option<(PipeReader, Option<PipeWriter>)>>,
}

impl Input {
    /// Nothing to read yet.
    ///
    /// # Errors
    /// The system has no `/dev/null`.
    pub fn new() -> std::io::Result<Input> {
        let nothing = File::open("/dev/null")?;
        descriptor::read_from(nothing.as_fd());
        Ok(Input { nothing, cell: Mutex::default() })
    }

    /// A cell begins; without descriptors left it finds nothing to read.
    pub fn begin(&self) {
        if let Ok((reader, writer)) = std::io::pipe() {
            descriptor::read_from(reader.as_fd());
            *lock(&self.cell) = Some((reader, Some(writer)));
        }
    }

    /// The cell has ended.
    pub fn end(&self) {
        descriptor::read_from(self.nothing.as_fd());
        *lock(&self.cell) = None;
    }

    /// The user has answered with a line.
    pub fn answer(&self, line: &str) {
        // The end of the cell ends the writing of a line that nobody reads.
        let writer = lock(&self.cell).as_ref().and_then(|(_, writer)| writer.as_ref()?.try_clone().ok());
        if let Some(mut writer) = writer {
            let _ = writer.write_all(format!("{line}\n").as_bytes());
        }
    }

    /// Nobody answers: from now on, reading in the cell fails, and its programs find the end.
    pub fn refuse(&self) {
        let writer = lock(&self.cell).as_mut().and_then(|(reader, writer)| {
            descriptor::never_wait(reader.as_fd());
            writer.take()
        });
        process::wake(std::process::id());
        std::thread::sleep(PROGRAMS);
        drop(writer);
    }
}
