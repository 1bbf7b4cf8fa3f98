//! Lines of the cell process, as evcxr delivers them → stream, display and clear messages, live; the rest is remembered
//! for the end of the cell: panics, the error of a `?`, and why the process ended.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, after, bounded, never, select};
use evcxr::EvalContextOutputs;
use jupyter_protocol::messaging::Header;
use serde_json::{Value, json};

use crate::kernel::engine::trace;
use crate::kernel::lock::lock;
use crate::kernel::marks::RECORD;
use crate::kernel::messages::panic::panic_text;
use crate::kernel::messages::places::Places;
use crate::kernel::messages::screen::{Screen, Shown};
use crate::kernel::process::lines::{self, unescape};
use crate::kernel::protocol::iopub::IoPub;
use crate::kernel::shared::Shared;

/// How long an unfinished line of standard error waits for what follows it.
const HOLD: Duration = Duration::from_millis(250);
const NAMES: [&str; 2] = ["stdout", "stderr"];
/// Of so many cells the threads are known.
const REQUESTS: usize = 10_000;

/// The reader of the cell process and what it remembers.
#[derive(Clone)]
pub struct Output {
    iopub: IoPub,
    cell: Arc<Mutex<Cell>>,
    shared: Arc<Shared>,
    barrier: Sender<Sender<()>>,
    /// The requests of the last cells, by the numbers that their code knows.
    requests: Arc<Mutex<Requests>>,
}

/// The requests of cells by number, the newest last.
type Requests = VecDeque<(u64, Option<Header>)>;

/// What one cell left behind.
#[derive(Default)]
pub struct Cell {
    parent: Option<Header>,
    /// Both outputs, `stdout` first.
    screens: [Screen; 2],
    /// Panics of the main thread that were not printed, each with whether the interrupt had ended a loop before it.
    panics: Vec<(Value, bool)>,
    /// The last panic of another thread: a pool passes it on to the thread that waits, without its message.
    passed_on: Option<(Value, bool)>,
    /// Where the lines of the running cell's source come from, once a panic has asked.
    places: Option<Places>,
    /// Whether the thread of the cell was made to stand still.
    pub given_up: bool,
    /// Whether the interrupt ended a loop of the cell.
    stopped: bool,
    /// The panic that ended the cell.
    pub panic: Option<Value>,
    /// Whether that panic came of the end of a loop by the interrupt.
    pub panicked_by_interrupt: bool,
    error_text: Option<String>,
    /// The error that a `?` returned.
    pub error: Option<String>,
    /// How long it ran, without being compiled and loaded.
    pub nanoseconds: Option<u64>,
    /// How the process ended, if it did.
    pub exit: Option<String>,
}

impl Cell {
    fn holds(&self) -> bool {
        self.error_text.is_some() || self.screens.iter().any(Screen::holds)
    }
}

impl Output {
    /// Starts the reading thread.
    pub fn start(outputs: EvalContextOutputs, shared: &Arc<Shared>) -> Output {
        let (barrier, barriers) = bounded(1);
        let output =
            Output { iopub: shared.iopub.clone(), cell: Arc::default(), shared: Arc::clone(shared), barrier, requests: Arc::default() };
        let reader = output.clone();
        std::thread::spawn(move || reader.read(&outputs, &barriers));
        output
    }

    /// From now on, outputs belong to the request with this header.
    pub fn begin(&self, parent: &Header) {
        *self.lock() = Cell { parent: Some(parent.clone()), ..Cell::default() };
    }

    /// Threads of the cell that begins will know it by this number, for as long as they print.
    pub fn number(&self, number: u64) {
        let parent = self.lock().parent.clone();
        let mut requests = lock(&self.requests);
        requests.push_back((number, parent));
        let long_ago = requests.len().saturating_sub(REQUESTS);
        requests.drain(..long_ago);
    }

    /// Text of a thread that an earlier cell has left running.
    fn old(&self, body: &Value) {
        let cell: Option<u64> = body["cell"].as_str().and_then(|cell| cell.parse().ok());
        let requests = lock(&self.requests);
        let parent = requests.iter().find(|(number, _)| Some(*number) == cell).and_then(|(_, parent)| parent.as_ref());
        let name = if body["name"] == "stderr" { "stderr" } else { "stdout" };
        self.iopub.stream(name, body["text"].as_str().unwrap_or_default(), parent);
    }

    /// What the finished cell left behind, after all its output is published.
    pub fn end(&self) -> Cell {
        let (done, wait) = bounded(1);
        if self.barrier.send(done).is_ok() {
            let _ = wait.recv_timeout(Duration::from_secs(5));
        }
        self.print_error_text();
        let mut cell = self.lock();
        self.release(&mut cell);
        self.print_panics(&mut cell);
        // Output of threads that live on still belongs to this cell.
        let next = Cell { parent: cell.parent.clone(), ..Cell::default() };
        std::mem::replace(&mut *cell, next)
    }

    fn read(&self, outputs: &EvalContextOutputs, barriers: &Receiver<Sender<()>>) {
        loop {
            let patience = if self.lock().holds() { after(HOLD) } else { never() };
            select! {
                recv(patience) -> _ => {
                    self.print_error_text();
                    self.release(&mut self.lock());
                }
                recv(outputs.stdout) -> line => match line {
                    Ok(line) => self.line(&line),
                    Err(_) => return,
                },
                recv(outputs.stderr) -> line => match line {
                    Ok(line) => self.side_line(&line),
                    Err(_) => return,
                },
                recv(barriers) -> done => {
                    while let Ok(line) = outputs.stdout.try_recv() {
                        self.line(&line);
                    }
                    while let Ok(line) = outputs.stderr.try_recv() {
                        self.side_line(&line);
                    }
                    if let Ok(done) = done {
                        let _ = done.send(());
                    }
                }
            }
        }
    }

    /// A line that the supervisor itself wrote to its standard error.
    fn side_line(&self, line: &str) {
        match line.strip_prefix(RECORD) {
            // The cell begins.
            Some(_) => {
                self.shared.interrupt.running();
                let text = self.shared.warnings();
                if !text.is_empty() {
                    self.iopub.stream("stderr", text, self.lock().parent.as_ref());
                }
            }
            None => self.stream("stderr", &format!("{line}\n")),
        }
    }

    fn line(&self, line: &str) {
        // Only the record that follows at once makes a marked text the error of a `?`.
        if line != lines::FAILED {
            self.print_error_text();
        }
        if let Some(text) = line.strip_prefix(lines::OUT) {
            self.stream("stdout", &unescape(text));
        } else if let Some(text) = line.strip_prefix(lines::ERR) {
            self.stream("stderr", &unescape(text));
        } else if let Some(record) = line.strip_prefix(RECORD) {
            self.record(&serde_json::from_str(record).unwrap_or_default());
        } else {
            self.stream("stdout", &format!("{line}\n"));
        }
    }

    fn record(&self, record: &Value) {
        let Some((kind, body)) = record.as_object().and_then(|fields| fields.iter().next()) else { return };
        if kind == "old" {
            return self.old(body);
        }
        let mut cell = self.lock();
        self.release(&mut cell);
        match kind.as_str() {
            "display" => self.iopub.send("display_data", display(body), cell.parent.as_ref()),
            "update" => self.iopub.send("update_display_data", display(body), cell.parent.as_ref()),
            "clear" => {
                self.iopub.send("clear_output", json!({ "wait": body["wait"].as_bool().unwrap_or(false) }), cell.parent.as_ref());
            }
            "comm_open" | "comm_msg" | "comm_close" => {
                if let Some(message) = self.shared.comms.take_record(kind, body, cell.parent.as_ref()) {
                    self.iopub.post(message);
                }
            }
            "comm_target" | "comm_target_end" => self.shared.comms.take_target(kind, body),
            "panic" if body["thread"] == "main" => {
                self.print_panics(&mut cell);
                let stopped = cell.stopped;
                cell.panics.push((body.clone(), stopped));
            }
            "panic" => {
                // Nobody may ever wait for its thread.
                self.print_panic(&mut cell, &trace::resolved(body));
                cell.passed_on = Some((body.clone(), cell.stopped));
            }
            "unwinds" => {
                cell.stopped = true;
                if body["main"] == true {
                    // The cell ends by the interrupt, and not by a panic that it has caught.
                    self.print_panics(&mut cell);
                    cell.passed_on = None;
                }
            }
            "panicked" => {
                let stopped = cell.stopped;
                let (panic, by_interrupt) = cell.panics.pop().or_else(|| cell.passed_on.take()).unwrap_or((Value::Null, stopped));
                (cell.panic, cell.panicked_by_interrupt) = (Some(panic), by_interrupt);
            }
            "stopped" => cell.given_up = true,
            "ran" => cell.nanoseconds = body.as_u64(),
            "error" => cell.error_text = body.as_str().map(str::to_string),
            "failed" => cell.error = Some(cell.error_text.take().unwrap_or_else(|| "the cell returned an error".into())),
            "exit" => cell.exit = body.as_str().map(str::to_string),
            _ => {}
        }
    }

    /// A marked text that was no error of a `?`: the cell printed a variable in the same way.
    fn print_error_text(&self) {
        let text = self.lock().error_text.take();
        text.iter().for_each(|text| self.stream("stderr", &format!("{text}\n")));
    }

    /// Panics that a cell caught itself are shown as the standard library would.
    fn print_panics(&self, cell: &mut Cell) {
        for (panic, _) in std::mem::take(&mut cell.panics) {
            self.print_panic(cell, &panic);
        }
    }

    fn print_panic(&self, cell: &mut Cell, panic: &Value) {
        let text = panic_text(panic, cell.places.get_or_insert_with(|| self.shared.places()));
        self.iopub.stream("stderr", text, cell.parent.as_ref());
    }

    fn stream(&self, name: &'static str, text: &str) {
        let mut cell = self.lock();
        let side = usize::from(name == "stderr");
        // The other output's unfinished line came first.
        let other = cell.screens[1 - side].release();
        self.publish(&cell, NAMES[1 - side], other);
        // Only standard error is a terminal, where an unfinished line may be a progress bar.
        let shown = cell.screens[side].push(text, side == 1);
        self.publish(&cell, name, shown);
    }

    /// Publishes what the screens hold back.
    fn release(&self, cell: &mut Cell) {
        for (side, name) in NAMES.into_iter().enumerate() {
            let held = cell.screens[side].release();
            self.publish(cell, name, held);
        }
    }

    fn publish(&self, cell: &Cell, name: &'static str, shown: impl IntoIterator<Item = Shown>) {
        for shown in shown {
            match shown {
                Shown::Stream(text) => self.iopub.stream(name, text, cell.parent.as_ref()),
                Shown::Draw { id, first, text } => {
                    let kind = if first { "display_data" } else { "update_display_data" };
                    let request = cell.parent.as_ref().map(|header| header.msg_id.as_str()).unwrap_or_default();
                    let body = json!({ "id": format!("{name}-{id}-{request}"), "data": { "text/plain": text } });
                    self.iopub.send(kind, display(&body), cell.parent.as_ref());
                }
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Cell> {
        lock(&self.cell)
    }
}

/// The content of a display message from a record of the companion.
fn display(body: &Value) -> Value {
    let transient = body["id"].as_str().map_or_else(|| json!({}), |id| json!({ "display_id": id }));
    let metadata = if body["metadata"].is_object() { body["metadata"].clone() } else { json!({}) };
    json!({ "data": body["data"], "metadata": metadata, "transient": transient })
}
