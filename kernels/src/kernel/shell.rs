//! Requests of the shell and control channels other than cells → replies. Completion and inspection go to the engine while
//! no cell runs; the rest is answered at once.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::kernel::engine::assist;
use crate::kernel::interrupt::Interrupt;
use crate::kernel::lock::lock;
use crate::kernel::messages::completeness::{self, Completeness};
use crate::kernel::protocol::wire::{self, Request};
use crate::kernel::shared::{Job, Shared};

/// Handles one request of the shell channel that is no cell.
pub fn shell(shared: &Arc<Shared>, request: Request) {
    // While a cell runs, and where rust-analyzer would not come back, known names have to do.
    let known_names_only = || shared.is_busy() || completeness::is_too_much(request.text("code"));
    match request.kind() {
        "complete_request" if known_names_only() => shared.serve(&request, || assist::complete_from(&shared.snapshot(), &request)),
        "complete_request" => shared.queue(Job::Complete(request)),
        "inspect_request" if known_names_only() => shared.serve(&request, || assist::inspect_from(&shared.snapshot(), &request)),
        "inspect_request" => shared.queue(Job::Inspect(request)),
        "is_complete_request" => shared.serve(&request, || is_complete(request.text("code"))),
        "history_request" => shared.serve(&request, || lock(&shared.history).reply(&request)),
        "comm_info_request" => shared.serve(&request, || shared.comms.info(request.content["target_name"].as_str())),
        _ => common(shared, &request),
    }
}

/// Handles one request of the control channel; true when the kernel shall end.
pub fn control(shared: &Arc<Shared>, request: &Request) -> bool {
    match request.kind() {
        "interrupt_request" => {
            shared.interrupt.request();
            tokio::spawn(tell_of_waiting(Arc::clone(shared)));
            shared.serve(request, || json!({ "status": "ok" }));
        }
        "shutdown_request" => {
            shared.set_ending();
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

/// Says why an interrupted cell still runs, and what the user can do.
async fn tell_of_waiting(shared: Arc<Shared>) {
    tokio::time::sleep(Interrupt::NOTICE).await;
    let running = lock(&shared.running).clone();
    if let Some(header) = running.filter(|_| shared.interrupt.is_waited_for()) {
        let text = "\n[the cell is asked to stop and ends its step first; interrupt again to end it now, which loses the variables that it uses]\n";
        shared.iopub.stream("stderr", text, Some(&header));
    }
}

/// Requests that either channel may carry.
fn common(shared: &Arc<Shared>, request: &Request) {
    match request.kind() {
        "kernel_info_request" => shared.serve(request, kernel_info),
        "comm_msg" | "comm_close" => shared.between(request, || {
            shared.comms.take_request(request);
        }),
        "comm_open" => shared.between(request, || {
            if !shared.comms.take_open(request) {
                shared.iopub.send("comm_close", json!({ "comm_id": request.content["comm_id"], "data": {} }), Some(&request.header));
            }
        }),
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
        "protocol_version": wire::PROTOCOL,
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
    match completeness::completeness(code) {
        Completeness::Complete => json!({ "status": "complete" }),
        Completeness::Incomplete(indent) => json!({ "status": "incomplete", "indent": indent }),
        Completeness::Invalid => json!({ "status": "invalid" }),
    }
}
