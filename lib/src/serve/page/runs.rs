//! Output folders of trainers → what the page shows of each run: its `trainer_state.json`, that of a live run included.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::train::checkpoint::state::STATE_FILE;
use crate::train::checkpoint::store;

/// Each folder with the newest state that it holds; a folder without one yet is left out.
pub fn states(folders: &[PathBuf]) -> Value {
    let run = |folder: &PathBuf| Some(json!({ "name": folder.display().to_string(), "state": state(folder)? }));
    json!({ "runs": folders.iter().filter_map(run).collect::<Vec<Value>>() })
}

/// The state of the live run, else of the newest checkpoint.
fn state(folder: &Path) -> Option<Value> {
    let newest = store::list(folder).pop().map(|(_, checkpoint)| checkpoint);
    let read = |folder: &Path| serde_json::from_slice::<Value>(&std::fs::read(folder.join(STATE_FILE)).ok()?).ok();
    let states = [Some(folder.to_path_buf()), newest].into_iter().flatten().filter_map(|folder| read(&folder));
    let fields = ["global_step", "max_steps", "epoch", "log_history"];
    let chosen = states.max_by_key(|state| state["global_step"].as_u64().unwrap_or(0))?;
    Some(fields.into_iter().map(|field| (field.to_string(), chosen[field].clone())).collect::<serde_json::Map<_, _>>().into())
}
