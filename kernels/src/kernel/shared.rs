//! What the sockets and the engine share: who is asked, what is known, and the queue between them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use evcxr::CommandContext;
use jupyter_protocol::messaging::Header;
use serde_json::Value;

use crate::kernel::interrupt::Interrupt;
use crate::kernel::lock::lock;
use crate::kernel::marks::Marks;
use crate::kernel::messages::places::{Places, Source};
use crate::kernel::messages::warnings::warnings;
use crate::kernel::prepare::session::Session;
use crate::kernel::protocol::comms::Comms;
use crate::kernel::protocol::history::History;
use crate::kernel::protocol::iopub::IoPub;
use crate::kernel::protocol::stdin::Stdin;
use crate::kernel::protocol::wire::Request;
use crate::kernel::rewrite::calls;
use crate::kernel::rewrite::record::Record;

/// Work for the engine.
pub enum Job {
    /// `execute_request`.
    Execute(Request),
    /// `complete_request`.
    Complete(Request),
    /// `inspect_request`.
    Inspect(Request),
}

/// The names that the last cell left behind.
#[derive(Default, Clone)]
pub struct Snapshot {
    /// Variables and their types.
    pub variables: Vec<(String, String)>,
    /// Functions, types and other items.
    pub items: Vec<String>,
}

impl Snapshot {
    /// The names that evcxr knows now.
    pub fn of(context: &CommandContext) -> Snapshot {
        let variables = context.variables_and_types().map(|(name, kind)| (name.to_string(), kind.to_string())).collect();
        let items = context
            .defined_item_names()
            .filter(|name| !name.starts_with("evcxr") && !["println", "eprintln", "print", "eprint"].contains(name));
        Snapshot { variables, items: items.map(str::to_string).collect() }
    }

    /// The names of the variables.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().map(|(name, _)| name.as_str())
    }
}

/// What all channels share.
pub struct Shared {
    pub(super) iopub: IoPub,
    pub(super) interrupt: Arc<Interrupt>,
    pub(super) stdin: Stdin,
    pub(super) session: Session,
    jobs: mpsc::Sender<Job>,
    /// The cells whose items live, the newest last; while a cell runs, it is the last.
    pub(super) sources: Mutex<Vec<Source>>,
    snapshot: Mutex<Snapshot>,
    /// The request whose cell runs.
    pub(super) running: Mutex<Option<Arc<Header>>>,
    pub(super) history: Mutex<History>,
    pub(super) comms: Comms,
    count: AtomicUsize,
    /// Whether the kernel was told to end.
    ending: AtomicBool,
}

impl Shared {
    /// What the channels of a kernel that starts share; `jobs` leads to the engine.
    pub fn new(
        iopub: IoPub,
        stdin: Stdin,
        interrupt: Arc<Interrupt>,
        session: Session,
        history: History,
        jobs: mpsc::Sender<Job>,
    ) -> Shared {
        Shared {
            iopub,
            interrupt,
            stdin,
            comms: Comms::new(session.comms()),
            session,
            jobs,
            sources: Mutex::default(),
            snapshot: Mutex::default(),
            running: Mutex::default(),
            history: Mutex::new(history),
            count: AtomicUsize::new(0),
            ending: AtomicBool::new(false),
        }
    }

    /// Gives the engine a job.
    pub fn queue(&self, job: Job) {
        let _ = self.jobs.send(job);
    }

    /// Answers a request between its own busy and idle.
    pub fn serve(&self, request: &Request, content: impl FnOnce() -> Value) {
        self.between(request, || request.reply(content()));
    }

    /// Does what a request asks for between its own busy and idle.
    pub fn between(&self, request: &Request, work: impl FnOnce()) {
        self.iopub.status("busy", Some(&request.header));
        work();
        self.iopub.status("idle", Some(&request.header));
        // Clients show the last state, and a cell may still run.
        if let Some(header) = lock(&self.running).as_ref() {
            self.iopub.status("busy", Some(header));
        }
    }

    /// A cell begins.
    pub fn begin(&self, request: &Request) {
        *lock(&self.running) = Some(Arc::clone(&request.header));
        self.iopub.status("busy", Some(&request.header));
    }

    /// The cell is answered.
    pub fn end(&self, request: &Request) {
        *lock(&self.running) = None;
        self.iopub.status("idle", Some(&request.header));
    }

    /// Whether a cell runs.
    pub fn is_busy(&self) -> bool {
        lock(&self.running).is_some()
    }

    /// Adds a cell to the history; returns its number.
    pub fn remember(&self, code: &str) -> usize {
        let number = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        lock(&self.history).add(number, code);
        number
    }

    /// The number of the last cell.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Where the lines come from of the source that evcxr wrote last.
    pub fn places(&self) -> Places {
        let generated = std::fs::read_to_string(self.session.source()).unwrap_or_default();
        let generated = match Marks::read(&self.session.marks()) {
            Ok(marks) => marks.of_cell(&generated),
            Err(_) => generated,
        };
        let moves = Record::at(self.session.state()).moves();
        Places::new(&calls::as_compiled(&generated), lock(&self.sources).clone()).moved(moves)
    }

    /// What the compiler warns of in the cell that runs now; once.
    pub fn warnings(&self) -> String {
        warnings(&Record::at(self.session.state()).messages(), || self.places())
    }

    /// The names that the last cell left behind.
    pub fn snapshot(&self) -> Snapshot {
        lock(&self.snapshot).clone()
    }

    /// Takes the names that evcxr knows now.
    pub fn set_snapshot(&self, context: &CommandContext) {
        *lock(&self.snapshot) = Snapshot::of(context);
    }

    /// The kernel was told to end.
    pub fn set_ending(&self) {
        self.ending.store(true, Ordering::SeqCst);
    }

    /// Whether the kernel was told to end.
    pub fn is_ending(&self) -> bool {
        self.ending.load(Ordering::SeqCst)
    }
}
