//! Two-way channels between a cell and the front end: records of the cell process → `comm_*` messages, and back.
//!
//! A cell opens a comm to a target that the front end has registered, or registers a target that the front end opens comms
//! to; what the front end sends is appended, a line of JSON each, to a file that the companion reads, so that it arrives
//! while the cell runs. A comm to a target that nobody has registered is closed again, as the protocol asks.
//!
//! Both ways a message may carry `metadata`, an object, and `buffers`, an array of texts in base64; a line of the file has
//! them only if the message did.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use base64::Engine;
use base64::prelude::BASE64_STANDARD as STANDARD;
use jupyter_protocol::messaging::{Header, JupyterMessage};
use serde_json::{Value, json};

use crate::kernel::lock::lock;
use crate::kernel::protocol::wire::{self, Request};

/// The comms that are open.
pub struct Comms {
    folder: PathBuf,
    /// Targets by id.
    open: Mutex<BTreeMap<String, String>>,
    /// The cells' targets: ids of their inboxes by name.
    targets: Mutex<BTreeMap<String, String>>,
}

impl Comms {
    /// Comms whose files lie in `folder`.
    pub fn new(folder: PathBuf) -> Comms {
        Comms { folder, open: Mutex::default(), targets: Mutex::default() }
    }

    /// The folder, for the environment of the cells.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What a cell asks for → the message for the front end; none for a comm that is not open.
    pub fn take_record(&self, kind: &str, record: &Value, parent: Option<&Header>) -> Option<JupyterMessage> {
        let id = record["id"].as_str()?;
        let mut open = lock(&self.open);
        let data = if record["data"].is_null() { json!({}) } else { record["data"].clone() };
        let content = match kind {
            "comm_open" => {
                let target = record["target"].as_str()?;
                open.insert(id.to_string(), target.to_string());
                json!({ "comm_id": id, "target_name": target, "data": data })
            }
            "comm_msg" if open.contains_key(id) => json!({ "comm_id": id, "data": data }),
            "comm_close" => open.remove(id).map(|_| json!({ "comm_id": id, "data": data }))?,
            _ => return None,
        };
        let mut message = wire::message(kind, content, parent);
        if record["metadata"].is_object() {
            message.metadata = record["metadata"].clone();
        }
        let buffers = record["buffers"].as_array().into_iter().flatten().filter_map(Value::as_str);
        message.buffers = buffers.filter_map(|text| STANDARD.decode(text).ok()).map(Into::into).collect();
        Some(message)
    }

    /// A cell registers a target, or lets it go.
    pub fn take_target(&self, kind: &str, record: &Value) {
        let Some(id) = record["id"].as_str() else { return };
        let mut targets = lock(&self.targets);
        match (kind, record["target"].as_str()) {
            ("comm_target", Some(name)) => drop(targets.insert(name.to_string(), id.to_string())),
            _ => targets.retain(|_, own| own != id),
        }
    }

    /// The front end opens a comm; false when it must be closed again: no cell has registered its target, its id is taken, or
    /// no name for a file.
    pub fn take_open(&self, request: &Request) -> bool {
        let (id, target) = (request.text("comm_id"), request.text("target_name"));
        let plain = id.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_".contains(letter));
        let Some(inbox) = lock(&self.targets).get(target).filter(|_| plain && (1..=64).contains(&id.len())).cloned() else { return false };
        let mut open = lock(&self.open);
        if open.contains_key(id) {
            return false;
        }
        open.insert(id.to_string(), target.to_string());
        self.append(&inbox, json!({ "open": id, "data": request.content["data"] }), request);
        true
    }

    /// A message of the front end for an open comm; false when no such comm is open.
    pub fn take_request(&self, request: &Request) -> bool {
        let mut open = lock(&self.open);
        // Only ids that are known become names of files.
        let Some((id, _)) = open.get_key_value(request.text("comm_id")) else { return false };
        let id = id.clone();
        let line = match request.kind() {
            "comm_close" => {
                open.remove(&id);
                json!({ "close": true })
            }
            _ => json!({ "data": request.content["data"] }),
        };
        self.append(&id, line, request);
        true
    }

    fn append(&self, id: &str, mut line: Value, request: &Request) {
        if request.metadata.as_object().is_some_and(|metadata| !metadata.is_empty()) {
            line["metadata"] = request.metadata.clone();
        }
        if !request.buffers.is_empty() {
            line["buffers"] = request.buffers.iter().map(|buffer| STANDARD.encode(buffer)).collect();
        }
        let file = self.folder.join(format!("{id}.jsonl"));
        let append = std::fs::OpenOptions::new().append(true).create(true).open(&file);
        if let Err(error) = append.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes())) {
            eprintln!("{}: {error}", file.display());
        }
    }

    /// The content of `comm_info_reply`.
    pub fn info(&self, target: Option<&str>) -> Value {
        let open = lock(&self.open);
        let wanted = open.iter().filter(|(_, name)| target.is_none_or(|target| target == *name));
        json!({ "status": "ok", "comms": wanted.map(|(id, name)| (id.clone(), json!({ "target_name": name }))).collect::<serde_json::Map<_, _>>() })
    }

    /// Closes all comms, since their process has ended; the ids that were open.
    pub fn end(&self) -> Vec<String> {
        lock(&self.targets).clear();
        std::mem::take(&mut *lock(&self.open)).into_keys().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_a_cell_becomes_a_message_with_all_its_parts() {
        let comms = Comms::new(std::env::temp_dir());
        let parts = json!({ "id": "c", "target": "t", "data": 1, "metadata": { "version": 2 }, "buffers": ["AP8="] });
        assert!(comms.take_record("comm_msg", &parts, None).is_none());
        for kind in ["comm_open", "comm_msg", "comm_close"] {
            let message = comms.take_record(kind, &parts, None).unwrap();
            assert_eq!((message.message_type(), &message.metadata), (kind, &json!({ "version": 2 })));
            assert_eq!(message.buffers, [&[0, 255][..]]);
        }
        assert!(comms.take_record("comm_close", &parts, None).is_none());
    }
}
