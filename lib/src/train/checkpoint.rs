//! A training state ↔ a folder `checkpoint-<step>`: complete or absent, never half.
//!
//! The files are written into a temporary neighbour which is renamed at the end; `trainer_state.json` is written last,
//! so its presence says that the rest is whole.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::data::jsonl::write_whole;
use crate::error::{Error, ErrorKind, Result};
use crate::model::causal::CausalLm;
use crate::train::curve::StepReport;
use crate::train::optimizer::Optimizer;

const STATE: &str = "trainer_state.json";
const OPTIMIZER: &str = "optimizer.safetensors";

/// Writes `checkpoint-<step>` with model, optimizer and history; returns its path.
pub fn save(output: &Path, model: &CausalLm, optimizer: &Optimizer, history: &[StepReport], best: Option<f64>) -> Result<PathBuf> {
    let step = history.last().map_or(0, |report| report.step);
    let folder = output.join(format!("checkpoint-{step}"));
    let partial = output.join(format!(".checkpoint-{step}.partial"));
    let fail = |error| Error::file(&folder, error);
    let _ = std::fs::remove_dir_all(&partial);
    model.save_pretrained(&partial)?;
    let tensors = optimizer.tensors(model.weights())?;
    let bytes =
        safetensors::serialize(&tensors, None).map_err(|error| Error::new(ErrorKind::Training, format!("optimizer state: {error}")))?;
    write_whole(&partial.join(OPTIMIZER), &bytes)?;
    let state = json!({ "global_step": step, "best_metric": best, "log_history": history.iter().map(log_line).collect::<Vec<_>>() });
    write_whole(&partial.join(STATE), format!("{state:#}\n").as_bytes())?;
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::rename(&partial, &folder).map_err(fail)?;
    Ok(folder)
}

fn log_line(report: &StepReport) -> Value {
    json!({
        "step": report.step, "epoch": report.epoch, "loss": report.loss, "learning_rate": report.learning_rate,
        "grad_norm": report.grad_norm, "tokens": report.tokens, "seconds": report.seconds, "optimizer_seconds": report.optimizer_seconds, "eval_loss": report.eval_loss,
    })
}

/// Takes a checkpoint's weights and optimizer state over; returns its history.
pub fn load(folder: &Path, model: &CausalLm, optimizer: &mut Optimizer) -> Result<Vec<StepReport>> {
    let path = folder.join(STATE);
    let damaged = |reason: String| {
        Error::new(ErrorKind::Training, format!("`{}`: {reason}", path.display())).hint("resume from another checkpoint of the run")
    };
    let bytes = std::fs::read(&path).map_err(|error| Error::file(&path, error))?;
    let state: Value = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    let number = |line: &Value, name: &str| line[name].as_f64().ok_or_else(|| damaged(format!("log_history has no number `{name}`")));
    let lines = state["log_history"].as_array().ok_or_else(|| damaged("log_history is missing".into()))?;
    let history = lines.iter().map(|line| {
        Ok(StepReport {
            step: number(line, "step")? as usize,
            epoch: number(line, "epoch")?,
            loss: number(line, "loss")?,
            learning_rate: number(line, "learning_rate")?,
            grad_norm: number(line, "grad_norm")?,
            tokens: number(line, "tokens")? as usize,
            seconds: number(line, "seconds")?,
            optimizer_seconds: line["optimizer_seconds"].as_f64().unwrap_or(0.0),
            eval_loss: line["eval_loss"].as_f64(),
        })
    });
    let history = history.collect::<Result<Vec<_>>>()?;
    let path = folder.join(OPTIMIZER);
    let bytes = std::fs::read(&path).map_err(|error| Error::file(&path, error))?;
    let tensors = candle_core::safetensors::load_buffer(&bytes, &candle_core::Device::Cpu).map_err(|error| {
        Error::new(ErrorKind::Training, format!("`{}` is not whole: {error}", path.display()))
            .hint("resume from another checkpoint of the run")
    })?;
    let mut fresh = optimizer.clone();
    fresh.load(model.weights(), &tensors)?;
    model.load_weights(folder)?;
    *optimizer = fresh;
    Ok(history)
}

/// The checkpoints of a run by step.
pub fn list(output: &Path) -> Vec<(usize, PathBuf)> {
    let step = |path: &Path| path.file_name()?.to_str()?.strip_prefix("checkpoint-")?.parse().ok();
    let entries = std::fs::read_dir(output).into_iter().flatten().flatten();
    let mut found: Vec<(usize, PathBuf)> = entries.filter_map(|entry| step(&entry.path()).map(|step| (step, entry.path()))).collect();
    found.sort();
    found
}

/// Removes the oldest checkpoints beyond `limit` (0 keeps all), never the best one.
pub fn prune(output: &Path, limit: usize, best: Option<&Path>) -> Result<()> {
    let mut found = list(output);
    while limit > 0 && found.len() > limit {
        let Some(index) = found.iter().position(|(_, path)| Some(path.as_path()) != best) else { break };
        // The newest is kept beside the best one, as transformers does.
        if index + 1 == found.len() {
            break;
        }
        let (_, path) = found.remove(index);
        std::fs::remove_dir_all(&path).map_err(|error| Error::file(&path, error))?;
    }
    Ok(())
}
