//! Output folders of trainers → what the page shows of each run: its `trainer_state.json`, that of a live run included.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::{Map, Value, json};

use crate::border::json::read;
use crate::border::limits;
use crate::error::ErrorKind;
use crate::train::checkpoint::state::STATE_FILE;
use crate::train::checkpoint::store;

/// Points of a curve that the page draws at most; of a longer log every so many-th.
const POINTS: usize = 2000;

/// What is shown of states that were read before, by their files; a file that has not changed is not read again.
#[derive(Debug, Default)]
pub struct Runs {
    read: HashMap<PathBuf, (SystemTime, u64, Value)>,
}

impl Runs {
    /// Each folder with the newest state that it holds; a folder without one yet is left out.
    pub fn states(&mut self, folders: &[PathBuf]) -> Value {
        let run = |folder: &PathBuf| Some(json!({ "name": folder.display().to_string(), "state": self.state(folder)? }));
        json!({ "runs": folders.iter().filter_map(run).collect::<Vec<Value>>() })
    }

    /// The state of the live run, else of the newest checkpoint.
    fn state(&mut self, folder: &Path) -> Option<Value> {
        let newest = store::list(folder).pop().map(|(_, checkpoint)| checkpoint);
        let folders = [Some(folder.to_path_buf()), newest].into_iter().flatten();
        let states: Vec<Value> = folders.filter_map(|folder| self.read(folder.join(STATE_FILE))).collect();
        states.into_iter().max_by_key(|state| state["global_step"].as_u64().unwrap_or(0))
    }

    fn read(&mut self, file: PathBuf) -> Option<Value> {
        let facts = std::fs::metadata(&file).ok()?;
        let (changed, size) = (facts.modified().ok()?, facts.len());
        if let Some((_, _, state)) = self.read.get(&file).filter(|(time, bytes, _)| (*time, *bytes) == (changed, size)) {
            return Some(state.clone());
        }
        let state: Value = read(&file, limits::HISTORY, ErrorKind::File, "").ok()?;
        let state = shown(state.is_object().then_some(state)?);
        self.read.insert(file, (changed, size, state.clone()));
        Some(state)
    }
}

/// The part of a state that the page reads.
fn shown(mut state: Value) -> Value {
    if let Value::Array(log) = &mut state["log_history"] {
        let stride = log.len().div_ceil(POINTS).max(1);
        let last = log.len().saturating_sub(1);
        let mut index = 0;
        log.retain(|entry| {
            let keeps = index % stride == 0 || index == last || entry.get("loss").is_none();
            index += 1;
            keeps
        });
    }
    let fields = ["global_step", "max_steps", "epoch", "log_history"];
    fields.into_iter().map(|field| (field.to_string(), state[field].take())).collect::<Map<_, _>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_is_thinned_and_read_again_only_after_a_change() {
        let folder = std::env::temp_dir().join(format!("finetuning-runs-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let write = |steps: usize| {
            let log: Vec<Value> = (1..=steps).map(|step| json!({ "step": step, "loss": 1.0 })).collect();
            let state = json!({ "global_step": steps, "max_steps": 9000, "epoch": 1.0, "log_history": log, "other": [1, 2] });
            std::fs::write(folder.join(STATE_FILE), state.to_string()).unwrap();
        };
        let mut runs = Runs::default();
        write(9000);
        let log = |states: Value| states["runs"][0]["state"]["log_history"].as_array().unwrap().clone();
        let first = log(runs.states(std::slice::from_ref(&folder)));
        assert!(first.len() <= POINTS + 1 && first[0]["step"] == 1 && first[first.len() - 1]["step"] == 9000, "{}", first.len());
        // What was read stays as it is until the file changes.
        runs.read.values_mut().for_each(|(_, _, state)| state["log_history"] = json!([7]));
        assert_eq!(log(runs.states(std::slice::from_ref(&folder))), [json!(7)]);
        write(3);
        assert_eq!(log(runs.states(std::slice::from_ref(&folder))).len(), 3);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
