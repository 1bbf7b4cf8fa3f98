//! A training state ↔ a folder `checkpoint-<step>`: whole or absent at every moment, kill −9 and full disk included.
//!
//! The files are written into a hidden neighbour and flushed to disk, `manifest.json` last; then the neighbour is renamed.
//! A name that begins with a dot is never a checkpoint: [`tidy`] removes or restores what a killed process left.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::border::{file, limits, tensors};
use crate::data::json as document;
use crate::error::{Error, ErrorKind, Result};
use crate::models::causal::CausalLm;
use crate::optim::optimizer::Optimizer;
use crate::train::arguments::json;
use crate::train::arguments::settings::TrainingArguments;
use crate::train::checkpoint::history;
use crate::train::checkpoint::manifest;
use crate::train::checkpoint::state::{STATE_FILE, TrainerState};
use crate::train::report::StepReport;
use crate::util::write::write_whole;

const OPTIMIZER: &str = "optimizer.safetensors";
const HISTORY: &str = "history.csv";

/// What a checkpoint holds.
#[derive(Debug, Clone, Copy)]
pub struct Contents<'a> {
    /// Its weights.
    pub model: &'a CausalLm,
    /// Its moments and step.
    pub optimizer: &'a Optimizer,
    /// Every step so far.
    pub history: &'a [StepReport],
    /// What transformers keeps of the run.
    pub state: &'a TrainerState,
    /// The settings.
    pub arguments: &'a TrainingArguments,
    /// When the run began, in microseconds since 1970.
    pub run: u64,
    /// Rows that it trains on.
    pub rows: usize,
    /// The checksum of their ids; 0 where it is not known.
    pub data: u32,
}

/// Writes `checkpoint-<step>`; returns its path.
///
/// # Errors
/// When a file cannot be written; what was there before is untouched then.
pub fn save(output: &Path, contents: Contents) -> Result<PathBuf> {
    let step = contents.history.last().map_or(0, |report| report.step);
    let (folder, partial) = (output.join(format!("checkpoint-{step}")), hidden(output, step, "partial"));
    let old = hidden(output, step, "old");
    let fail = |error| Error::file(&folder, error);
    remove(&partial)?;
    if let Err(error) = write(&partial, contents) {
        let _ = std::fs::remove_dir_all(&partial);
        return Err(error.at(format_args!("checkpoint-{step} was not written, earlier checkpoints are untouched")));
    }
    if folder.exists() {
        remove(&old)?;
        std::fs::rename(&folder, &old).map_err(fail)?;
    }
    std::fs::rename(&partial, &folder).map_err(fail)?;
    flush(output);
    remove(&old)?;
    Ok(folder)
}

fn write(folder: &Path, contents: Contents) -> Result<()> {
    contents.model.save_pretrained(folder)?;
    let tensors = contents.optimizer.tensors(contents.model.weights())?;
    let bytes = safetensors::serialize(&tensors, None)
        .map_err(|error| Error::new(ErrorKind::Training, format!("optimizer state: {error}")).because(error))?;
    write_whole(&folder.join(OPTIMIZER), &bytes)?;
    contents.state.save(folder)?;
    write_whole(&folder.join(HISTORY), history::to_csv(contents.history).as_bytes())?;
    contents.arguments.save(folder.join(json::FILE))?;
    manifest::write(folder, contents.run, contents.rows, contents.data)?;
    flush(folder);
    Ok(())
}

/// What [`load`] gives back besides weights and optimizer.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Loaded {
    /// Every step so far.
    pub history: Vec<StepReport>,
    /// What transformers keeps of the run.
    pub state: TrainerState,
    /// The settings of the run that wrote it.
    pub arguments: TrainingArguments,
    /// When that run began, in microseconds since 1970.
    pub run: u64,
}

/// Takes a whole checkpoint's weights and optimizer state over. A damaged file is named, and nothing is taken over.
///
/// # Errors
/// When a file is missing, damaged, or of another model or optimizer.
pub fn load(folder: &Path, model: &CausalLm, optimizer: &mut Optimizer) -> Result<Loaded> {
    manifest::verify(folder)?;
    const ANOTHER: &str = "resume from another checkpoint of the run";
    let state: TrainerState = document::read(&folder.join(STATE_FILE), limits::HISTORY, ErrorKind::Training, ANOTHER)?;
    let path = folder.join(HISTORY);
    let history = history::from_csv(&file::read_text(&path, limits::HISTORY)?)
        .map_err(|error| error.at(format_args!("`{}`", path.display())).in_file(&path))?;
    let arguments = TrainingArguments::load(folder.join(json::FILE))?;
    let path = folder.join(OPTIMIZER);
    let numbers = optimizer.bytes() as u64 / 4;
    let tensors = tensors::read(&path, "the state of this optimizer", numbers, ErrorKind::Training, ANOTHER)?;
    let mut fresh = optimizer.clone();
    fresh.load(model.weights(), &tensors)?;
    model.load_weights(folder)?;
    *optimizer = fresh;
    Ok(Loaded { history, state, arguments, run: manifest::run(folder).unwrap_or(0) })
}

/// The checkpoints of a run by step.
pub fn list(output: &Path) -> Vec<(usize, PathBuf)> {
    let step = |path: &Path| path.file_name()?.to_str()?.strip_prefix("checkpoint-")?.parse().ok();
    let entries = std::fs::read_dir(output).into_iter().flatten().flatten();
    let mut found: Vec<(usize, PathBuf)> = entries.filter_map(|entry| step(&entry.path()).map(|step| (step, entry.path()))).collect();
    found.sort();
    found
}

/// The checkpoints of an output folder, those of the run that began last first, and of a run the last step first. One whose
/// manifest cannot be read comes before all: it may be the newest.
pub fn newest_first(output: &Path) -> Vec<PathBuf> {
    let mut found = list(output);
    found.sort_by_key(|(step, path)| std::cmp::Reverse((manifest::run(path).unwrap_or(u64::MAX), *step)));
    found.into_iter().map(|(_, path)| path).collect()
}

/// Puts an output folder in order after a process was killed in [`save`] or [`prune`]: what was replaced but not yet in
/// place comes back, what was half written or half removed goes. The caller has the folder's lock.
///
/// # Errors
/// When a folder cannot be renamed or removed.
pub fn tidy(output: &Path) -> Result<()> {
    for entry in std::fs::read_dir(output).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let Some((checkpoint, ending)) = name.strip_prefix('.').and_then(|name| name.rsplit_once('.')) else { continue };
        if !checkpoint.starts_with("checkpoint-") {
            continue;
        }
        let whole = output.join(checkpoint);
        match ending {
            "old" if !whole.exists() => std::fs::rename(&path, &whole).map_err(|error| Error::file(&path, error))?,
            "old" | "partial" | "removed" => remove(&path)?,
            _ => {}
        }
    }
    Ok(())
}

/// Removes the oldest checkpoints up to step `newest` beyond `limit` (0 keeps all), never the best one or the newest.
///
/// # Errors
/// When a folder cannot be renamed or removed.
pub fn prune(output: &Path, limit: usize, newest: usize, best: Option<&Path>) -> Result<()> {
    let mut found = list(output);
    found.retain(|(step, _)| *step <= newest);
    while limit > 0 && found.len() > limit {
        let Some(index) = found.iter().position(|(_, path)| Some(path.as_path()) != best) else { break };
        // The newest is kept beside the best one, as transformers does.
        if index + 1 == found.len() {
            break;
        }
        let (step, path) = found.remove(index);
        // A folder that is half removed must not look like a checkpoint.
        let removed = hidden(output, step, "removed");
        remove(&removed)?;
        std::fs::rename(&path, &removed).map_err(|error| Error::file(&path, error))?;
        remove(&removed)?;
    }
    Ok(())
}

fn hidden(output: &Path, step: usize, ending: &str) -> PathBuf {
    output.join(format!(".checkpoint-{step}.{ending}"))
}

fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::file(folder, error)),
        _ => Ok(()),
    }
}

/// Writes a folder's names to disk; systems that cannot are left alone.
fn flush(folder: &Path) {
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}
