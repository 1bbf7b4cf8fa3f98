//! Logs → TensorBoard's event files: records of length, checksum, bytes, checksum, each a small protocol buffer.
//!
//! The format is that of TensorFlow's `record_writer.cc`, `event.proto` and `summary.proto`; only scalars are written.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::{Error, Result};
use crate::train::callback::trainer_callback::{CallbackContext, Control, TrainerCallback};
use crate::util::crc32c::masked;

/// An event file that grows by scalars.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// Begins `events.out.tfevents.<seconds>.<host>.<pid>` in a folder, which is made.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|error| Error::file(folder, error))?;
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_else(|_| "localhost".into());
        let name = format!("events.out.tfevents.{:.0}.{}.{}", now().floor(), host.trim(), std::process::id());
        let path = folder.join(name);
        let file = File::options().create(true).append(true).open(&path).map_err(|error| Error::file(&path, error))?;
        let mut events = Self { path, file };
        let mut version = field(3, b"brain.Event:2");
        version.splice(0..0, fixed(1, now()));
        events.write(&version)?;
        Ok(events)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds scalars of a step.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn scalars<'a>(&mut self, step: usize, scalars: impl IntoIterator<Item = (&'a str, f64)>) -> Result<()> {
        let mut summary = Vec::new();
        for (tag, value) in scalars {
            // Value { tag = 1, simple_value = 2 }
            let mut bytes = field(1, tag.as_bytes());
            bytes.push(2 << 3 | 5);
            bytes.extend((value as f32).to_le_bytes());
            summary.extend(field(1, &bytes));
        }
        // Event { wall_time = 1, step = 2, summary = 5 }
        let mut event = fixed(1, now());
        event.push(2 << 3);
        event.extend(varint(step as u64));
        event.extend(field(5, &summary));
        self.write(&event)
    }

    fn write(&mut self, event: &[u8]) -> Result<()> {
        let length = (event.len() as u64).to_le_bytes();
        let mut record = length.to_vec();
        record.extend(masked(&length).to_le_bytes());
        record.extend(event);
        record.extend(masked(event).to_le_bytes());
        self.file.write_all(&record).map_err(|error| Error::file(&self.path, error))
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A field of bytes, wire type 2.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    out.extend(varint(bytes.len() as u64));
    out.extend(bytes);
    out
}

/// A field of a double, wire type 1.
fn fixed(number: u8, value: f64) -> Vec<u8> {
    let mut out = vec![number << 3 | 1];
    out.extend(value.to_le_bytes());
    out
}

/// Writes every log into `<output_dir>/runs/<seconds>`, under the names of transformers: `train/loss`, `eval/loss`, ….
#[derive(Debug, Default)]
pub struct TensorBoard {
    folder: Option<PathBuf>,
    events: Option<EventFile>,
}

impl TensorBoard {
    /// Writes into a folder of your choice instead.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self { folder: Some(folder.into()), events: None }
    }
}

impl TrainerCallback for TensorBoard {
    fn name(&self) -> &'static str {
        "TensorBoardCallback"
    }

    fn on_log(&mut self, context: &CallbackContext) -> Result<Control> {
        let Some(entry) = context.state.log_history.last() else { return Ok(Control::default()) };
        if self.events.is_none() {
            let runs = || context.arguments.output_dir.join("runs").join(format!("{:.0}", now().floor()));
            self.events = Some(EventFile::create(&self.folder.clone().unwrap_or_else(runs))?);
        }
        let tag = |name: &str| match name.strip_prefix("eval_") {
            Some(name) => format!("eval/{name}"),
            None => format!("train/{name}"),
        };
        let numbers = entry.iter().filter(|(name, _)| *name != "step");
        let scalars: Vec<(String, f64)> = numbers.filter_map(|(name, value)| Some((tag(name), value.as_f64()?))).collect();
        if let Some(events) = &mut self.events {
            events.scalars(context.state.global_step, scalars.iter().map(|(tag, value)| (tag.as_str(), *value)))?;
        }
        Ok(Control::default())
    }
}
