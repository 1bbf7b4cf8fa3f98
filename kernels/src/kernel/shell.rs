//! Requests of the shell and control channels → replies. Cells, completion and inspection go to the engine; the rest is
//! answered at once, also while a cell runs.

use std::sync::Arc;

use serde_json::{Value, json};

use super::engine::Job;
use super::scan::{Completeness, completeness};
use super::wire::Request;
use super::{Shared, assist};

/// Handles one request of the shell channel.
pub fn shell(shared: &Arc<Shared>, request: Request) {
    match request.kind() {
        "execute_request" => shared.queue(Job::Execute(request)),
        "complete_request" if shared.is_busy() => shared.serve(&request, || assist::complete_from(&shared.snapshot(), &request)),
        "complete_request" => shared.queue(Job::Complete(request)),
        "inspect_request" if shared.is_busy() => shared.serve(&request, || assist::inspect_from(&shared.snapshot(), &request)),
        "inspect_request" => shared.queue(Job::Inspect(request)),
        "is_complete_request" => shared.serve(&request, || is_complete(request.text("code"))),
        "history_request" => shared.serve(&request, || history(shared, &request)),
        "comm_info_request" => shared.serve(&request, || json!({ "status": "ok", "comms": {} })),
        _ => common(shared, &request),
    }
}

/// Handles one request of the control channel; true when the kernel shall end.
pub fn control(shared: &Arc<Shared>, request: &Request) -> bool {
    match request.kind() {
        "interrupt_request" => {
            shared.interrupt.request();
            shared.serve(request, || json!({ "status": "ok" }));
        }
        "shutdown_request" => {
            shared.ending.store(true, std::sync::atomic::Ordering::SeqCst);
            shared.interrupt.kill_child();
            shared.serve(request, || json!({ "status": "ok", "restart": request.flag("restart", false) }));
            return true;
        }
        "debug_request" => shared.serve(request, || {
            json!({ "type": "response", "request_seq": request.content["seq"], "success": false, "command": request.content["command"],
                "message": "this kernel has no debugger", "body": {} })
        }),
        _ => common(shared, request),
    }
    false
}

/// Requests that either channel may carry.
fn common(shared: &Arc<Shared>, request: &Request) {
    match request.kind() {
        "kernel_info_request" => shared.serve(request, kernel_info),
        "comm_open" => {
            // No comm target is registered, so the protocol asks to close it again.
            shared.iopub.status("busy", Some(&request.header));
            shared.iopub.send("comm_close", json!({ "comm_id": request.content["comm_id"], "data": {} }), Some(&request.header));
            shared.iopub.status("idle", Some(&request.header));
        }
        kind if kind.ends_with("_request") => shared.serve(request, || {
            json!({ "status": "error", "ename": "UnknownRequest", "evalue": format!("this kernel does not know {kind}"), "traceback": [] })
        }),
        // Anything else wants no answer.
        _ => {}
    }
}

fn kernel_info() -> Value {
    let version = env!("CARGO_PKG_VERSION");
    json!({
        "status": "ok",
        "protocol_version": "5.3",
        "implementation": "finetuning",
        "implementation_version": version,
        "language_info": notebooks::ipynb::language_info(),
        "banner": format!("Rust cells for finetuning language models (kernel {version})"),
        "help_links": [{ "text": "The Rust standard library", "url": "https://doc.rust-lang.org/std/" }],
        "supported_features": [],
        "debugger": false,
    })
}

fn is_complete(code: &str) -> Value {
    match completeness(code) {
        Completeness::Complete => json!({ "status": "complete" }),
        Completeness::Incomplete(indent) => json!({ "status": "incomplete", "indent": indent }),
        Completeness::Invalid => json!({ "status": "invalid" }),
    }
}

/// The cells of this session; an older session has none.
fn history(shared: &Shared, request: &Request) -> Value {
    let cells = shared.history();
    let mut found: Vec<(usize, String)> = match request.text("hist_access_type") {
        "range" => {
            let (start, stop) = (request.content["start"].as_i64().unwrap_or(0), request.content["stop"].as_i64().unwrap_or(i64::MAX));
            cells.into_iter().filter(|(number, _)| (start..stop).contains(&(*number as i64))).collect()
        }
        "search" => {
            let pattern = request.content["pattern"].as_str().unwrap_or("*");
            cells.into_iter().filter(|(_, code)| glob(pattern, code)).collect()
        }
        _ => cells,
    };
    if request.flag("unique", false) {
        let mut seen = std::collections::HashSet::new();
        found.reverse();
        found.retain(|(_, code)| seen.insert(code.clone()));
        found.reverse();
    }
    let last =
        found.len().saturating_sub(if request.text("hist_access_type") == "range" { usize::MAX } else { request.number("n", usize::MAX) });
    let output = request.flag("output", false);
    let entry = |(number, code): &(usize, String)| if output { json!([0, number, [code, null]]) } else { json!([0, number, code]) };
    json!({ "status": "ok", "history": found[last..].iter().map(entry).collect::<Vec<_>>() })
}

/// Whether the text matches a pattern in which `*` stands for any text and `?` for one character.
fn glob(pattern: &str, text: &str) -> bool {
    let mut pattern = pattern.chars();
    match pattern.next() {
        None => text.is_empty(),
        Some('*') => text.char_indices().map(|(index, _)| index).chain([text.len()]).any(|index| glob(pattern.as_str(), &text[index..])),
        Some(char) => {
            text.chars().next().is_some_and(|first| (char == '?' || char == first) && glob(pattern.as_str(), &text[first.len_utf8()..]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::glob;

    #[test]
    fn globs() {
        for (pattern, text, matches) in
            [("*", "", true), ("1?2*", "1+2 = 3", true), ("1?2", "12", false), ("*é*", "aéb", true), ("", "a", false)]
        {
            assert_eq!(glob(pattern, text), matches, "{pattern} {text}");
        }
    }
}
