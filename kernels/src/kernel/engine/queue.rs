//! Jobs → results. One thread owns evcxr for the kernel's whole life and does one job after the other.

use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use serde_json::{Value, json};

use crate::kernel::engine::assist;
use crate::kernel::engine::evaluate::Evaluation;
use crate::kernel::engine::repl::Engine;
use crate::kernel::lock::lock;
use crate::kernel::messages::completeness::is_too_much;
use crate::kernel::messages::errors::Failure;
use crate::kernel::messages::lost::End;
use crate::kernel::prepare::{companion, path};
use crate::kernel::protocol::wire::Request;
use crate::kernel::shared::{Job, Shared};
use crate::system::machine;

/// What a cell says while it waits for the companion.
const COMPILES: &str = "the companion crate is compiled for this compiler, once: about ten minutes on two cores, and it needs the network";

/// Starts evcxr and works until the queue closes.
pub fn work(shared: &Arc<Shared>, jobs: &Receiver<Job>) {
    let mut first = None;
    if companion::is_missing(&path::root()) {
        // The cell that has to wait for it shows what compiles.
        first = jobs.recv().ok();
        if let Some(Job::Execute(request)) = &first {
            *lock(&shared.running) = Some(Arc::clone(&request.header));
            shared.iopub.stream("stderr", format!("{COMPILES}\n"), Some(&request.header));
        }
    }
    let mut engine = catch_unwind(|| Engine::start(shared)).unwrap_or_else(|_| Err("evcxr panicked while it started".into()));
    // The end of the kernel stops a start that is on its way.
    if let Some(error) = engine.as_ref().err().filter(|_| !shared.is_ending()) {
        eprintln!("the kernel cannot evaluate cells: {error}");
    }
    first = first.or_else(|| jobs.try_recv().ok());
    if let (Ok(engine), None) = (&mut engine, &first) {
        engine.warm_up();
    }
    loop {
        if first.is_none() {
            first = jobs.try_recv().ok();
        }
        if first.is_none() {
            // rust-analyzer allocates and frees hundreds of megabytes, and many kernels share a machine.
            machine::give_back_memory();
        }
        let Some(job) = first.take().or_else(|| jobs.recv().ok()) else { return };
        match job {
            Job::Execute(request) => {
                let behind = match &mut engine {
                    Ok(engine) => engine.execute(&request, jobs),
                    Err(error) => refuse(shared, &request, &Failure::new("KernelError", error), jobs),
                };
                abort(shared, behind);
            }
            Job::Complete(request) => shared.serve(&request, || match &mut engine {
                Ok(engine) => assist::complete(&mut engine.context, &request),
                Err(_) => assist::complete_from(&shared.snapshot(), &request),
            }),
            Job::Inspect(request) => shared.serve(&request, || match &mut engine {
                Ok(engine) => assist::inspect(&mut engine.context, &request, &lock(&shared.sources)),
                Err(_) => assist::inspect_from(&shared.snapshot(), &request),
            }),
        }
    }
}

/// The jobs that wait behind a cell that failed; none when the client wants them done all the same, or ran it unseen.
fn queued(request: &Request, jobs: &Receiver<Job>) -> Vec<Job> {
    if request.flag("stop_on_error", true) && !request.flag("silent", false) { jobs.try_iter().collect() } else { Vec::new() }
}

/// Answers the cells among the jobs without running them; the other jobs go to the end of the queue.
fn abort(shared: &Shared, jobs: Vec<Job>) {
    for job in jobs {
        match job {
            Job::Execute(request) => shared.serve(&request, || json!({ "status": "aborted", "execution_count": shared.count() })),
            other => shared.queue(other),
        }
    }
}

/// Answers a cell with a failure; the jobs it returns are those behind it.
fn refuse(shared: &Shared, request: &Request, failure: &Failure, jobs: &Receiver<Job>) -> Vec<Job> {
    shared.begin(request);
    shared.iopub.send("error", failure.content(), Some(&request.header));
    let behind = queued(request, jobs);
    reply_error(shared, request, failure);
    shared.end(request);
    behind
}

fn reply_error(shared: &Shared, request: &Request, failure: &Failure) {
    let mut content = failure.content();
    content["status"] = "error".into();
    content["execution_count"] = shared.count().into();
    content["user_expressions"] = json!({});
    content["payload"] = json!([]);
    request.reply(content);
}

impl Engine {
    /// Runs a cell and answers; the jobs it returns were sent before a failure was known.
    fn execute(&mut self, request: &Request, jobs: &Receiver<Job>) -> Vec<Job> {
        let shared = Arc::clone(&self.shared);
        let (iopub, parent) = (&shared.iopub, Some(&*request.header));
        let silent = request.flag("silent", false);
        let code = request.text("code");
        // Before anyone knows of the cell, so that no interrupt comes too early for it.
        shared.interrupt.begin();
        shared.begin(request);
        let number = if !silent && request.flag("store_history", true) { shared.remember(code) } else { shared.count() };
        if !silent {
            iopub.send("execute_input", json!({ "code": code, "execution_count": number }), parent);
        }
        self.output.begin(&request.header);
        let failed = self.rerun(request, code);
        let Evaluation { result, end } = failed.unwrap_or_else(|| self.evaluate(request, number, code));
        // What made and moved variables is read from the syntax, which for a cell that was refused takes minutes.
        let ran = if is_too_much(code) { "" } else { code };
        self.settle(request, number, ran, end);
        if !silent {
            self.made(number, ran, end);
        }
        let failure = match result {
            Ok(outputs) if silent || outputs.is_empty() => None,
            Ok(outputs) => {
                let content = json!({ "data": assist::mime_bundle(&outputs), "metadata": {}, "transient": {}, "execution_count": number });
                if let Some(text) = content["data"]["text/plain"].as_str() {
                    lock(&shared.history).set_output(number, text);
                }
                iopub.send("execute_result", content, parent);
                None
            }
            Err(mut failure) => {
                if matches!(end, End::Dead | End::GivenUp) {
                    failure.traceback.extend(self.again.offer());
                }
                iopub.send("error", failure.content(), parent);
                Some(failure)
            }
        };
        let mut behind = Vec::new();
        match &failure {
            Some(failure) => {
                behind = queued(request, jobs);
                reply_error(&shared, request, failure);
            }
            None => {
                let expressions = self.user_expressions(request, number);
                let next = self.next_input.take().map(|text| json!({ "source": "set_next_input", "text": text, "replace": true }));
                let payload: Vec<Value> = next.into_iter().collect();
                request.reply(json!({ "status": "ok", "execution_count": number, "user_expressions": expressions, "payload": payload }));
            }
        }
        shared.end(request);
        behind
    }
}
