//! Two-way channels between a cell and the front end: records of the cell process → `comm_*` messages, and back.
//!
//! A cell opens a comm to a target that the front end has registered; what the front end sends is appended, a line of
//! JSON each, to a file that the companion reads, so that it arrives while the cell runs. The kernel itself registers no
//! target: a comm that a front end opens is closed again, as the protocol asks.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde_json::{Value, json};

use super::lock;
use super::wire::Request;

/// The comms that are open.
pub struct Comms {
    folder: PathBuf,
    /// Targets by id.
    open: Mutex<BTreeMap<String, String>>,
}

impl Comms {
    /// Comms whose files lie in `folder`.
    pub fn new(folder: PathBuf) -> Comms {
        Comms { folder, open: Mutex::default() }
    }

    /// The folder, for the environment of the cells.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What a cell asks for → the content of the message `kind` for the front end; none for a comm that is not open.
    pub fn take_record(&self, kind: &str, record: &Value) -> Option<Value> {
        let id = record["id"].as_str()?;
        let mut open = lock(&self.open);
        let data = if record["data"].is_null() { json!({}) } else { record["data"].clone() };
        match kind {
            "comm_open" => {
                let target = record["target"].as_str()?;
                open.insert(id.to_string(), target.to_string());
                Some(json!({ "comm_id": id, "target_name": target, "data": data }))
            }
            "comm_msg" => open.contains_key(id).then(|| json!({ "comm_id": id, "data": data })),
            _ => open.remove(id).map(|_| json!({ "comm_id": id, "data": data })),
        }
    }

    /// A message of the front end for an open comm; false when no such comm is open.
    pub fn take_request(&self, request: &Request) -> bool {
        let mut open = lock(&self.open);
        // Only ids that a cell has made become names of files.
        let Some((id, _)) = open.get_key_value(request.text("comm_id")) else { return false };
        let id = id.clone();
        let line = match request.kind() {
            "comm_close" => {
                open.remove(&id);
                json!({ "close": true })
            }
            _ => json!({ "data": request.content["data"] }),
        };
        let file = self.folder.join(format!("{id}.jsonl"));
        let append = std::fs::OpenOptions::new().append(true).create(true).open(&file);
        if let Err(error) = append.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes())) {
            eprintln!("{}: {error}", file.display());
        }
        true
    }

    /// The content of `comm_info_reply`.
    pub fn info(&self, target: Option<&str>) -> Value {
        let open = lock(&self.open);
        let wanted = open.iter().filter(|(_, name)| target.is_none_or(|target| target == *name));
        json!({ "status": "ok", "comms": wanted.map(|(id, name)| (id.clone(), json!({ "target_name": name }))).collect::<serde_json::Map<_, _>>() })
    }

    /// Closes all comms, since their process has ended; the ids that were open.
    pub fn end(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.open)).into_keys().collect()
    }
}
