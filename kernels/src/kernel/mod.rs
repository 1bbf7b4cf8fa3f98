//! The Jupyter kernel: a connection file → five sockets, a thread that evaluates cells, and a process that runs them.
//!
//! `connection`, `wire`, `iopub`, `flow`, `shell` and `stdin` speak the protocol, with `history` and `comms`; `engine` owns evcxr
//! and `evaluate` runs code in it, `outside` in a shell; `child`, `runner`, `support`, `marks` and `terminal` are the
//! process of the cells; `output`, `screen`, `errors`, `rules`, `lost`, `progress`, `scan`, `completeness` and `assist`
//! translate; `interrupt` stops; `path`, `warm`, `analysis` and `unpack` prepare.

pub mod analysis;
mod assist;
#[cfg(test)]
mod bars;
mod child;
mod comms;
mod completeness;
mod connection;
mod engine;
mod errors;
mod evaluate;
mod flow;
mod history;
mod interrupt;
mod iopub;
mod lost;
mod marks;
mod output;
mod outside;
mod path;
mod progress;
mod rules;
mod runner;
mod scan;
mod screen;
mod shell;
mod stdin;
mod terminal;
pub(crate) mod unpack;
pub mod warm;
mod wire;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use evcxr::CommandContext;
use jupyter_protocol::messaging::Header;
use jupyter_zmq_client as zmq;
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use zeromq::{SocketRecv, SocketSend};

use assist::Snapshot;
use comms::Comms;
use history::History;
use interrupt::Interrupt;
use iopub::IoPub;
use wire::Request;

pub use history::FILE as HISTORY;
pub use path::RUSTC_FOLDER;

/// Becomes the process of the cells, or a wrapper of rustc, when evcxr started this program as one; call it first.
pub fn runtime_hook() {
    if std::env::var_os(child::RUNNER).is_some() {
        runner::run();
    }
    if std::env::var_os("EVCXR_IS_RUNTIME").is_some() {
        child::supervise();
    }
    evcxr::runtime_hook();
}

/// What all channels share.
pub struct Shared {
    iopub: IoPub,
    interrupt: Arc<Interrupt>,
    stdin: stdin::Stdin,
    session: warm::Session,
    jobs: std::sync::mpsc::Sender<engine::Job>,
    snapshot: Mutex<Snapshot>,
    /// The request whose cell runs.
    running: Mutex<Option<Arc<Header>>>,
    history: Mutex<History>,
    comms: Comms,
    count: AtomicUsize,
    /// Whether the kernel was told to end.
    ending: AtomicBool,
}

impl Shared {
    fn queue(&self, job: engine::Job) {
        let _ = self.jobs.send(job);
    }

    /// Answers a request between its own busy and idle.
    fn serve(&self, request: &Request, content: impl FnOnce() -> Value) {
        self.between(request, || request.reply(content()));
    }

    /// Does what a request asks for between its own busy and idle.
    fn between(&self, request: &Request, work: impl FnOnce()) {
        self.iopub.status("busy", Some(&request.header));
        work();
        self.iopub.status("idle", Some(&request.header));
        // Clients show the last state, and a cell may still run.
        if let Some(header) = lock(&self.running).as_ref() {
            self.iopub.status("busy", Some(header));
        }
    }

    fn begin(&self, request: &Request) {
        *lock(&self.running) = Some(Arc::clone(&request.header));
        self.iopub.status("busy", Some(&request.header));
    }

    fn end(&self, request: &Request) {
        *lock(&self.running) = None;
        self.iopub.status("idle", Some(&request.header));
    }

    fn is_busy(&self) -> bool {
        lock(&self.running).is_some()
    }

    /// Adds a cell to the history; returns its number.
    fn remember(&self, code: &str) -> usize {
        let number = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        lock(&self.history).add(number, code);
        number
    }

    fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    fn snapshot(&self) -> Snapshot {
        lock(&self.snapshot).clone()
    }

    fn set_snapshot(&self, context: &CommandContext) {
        *lock(&self.snapshot) = Snapshot::of(context);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Runs the kernel for a connection file until it is told to stop.
pub fn run(connection_file: &Path) -> Result<(), String> {
    let connection = connection::read(connection_file)?;
    let session = warm::Session::new()?;
    let root = warm::root();
    let path = path::with_rustc();
    // SAFETY: no other thread runs yet.
    unsafe {
        if let Some(path) = path {
            std::env::set_var("PATH", path);
        }
        std::env::set_var("EVCXR_TMPDIR", session.ctx());
        std::env::set_var("EVCXR_CONFIG_DIR", session.configuration());
        // The source of std that this program carries: the same inference on every machine, with or without rust-src.
        if std::env::var_os("RUST_SRC_PATH").is_none() {
            std::env::set_var("RUST_SRC_PATH", warm::std_source(&root));
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(|error| error.to_string())?;
    let result = runtime.block_on(serve(&connection, session));
    // Threads that wait for evcxr are not waited for.
    runtime.shutdown_background();
    result
}

async fn serve(connection: &zmq::ConnectionInfo, session: warm::Session) -> Result<(), String> {
    let id = format!("finetuning-kernel-{}", std::process::id());
    let bind = |error: zmq::RuntimeError| format!("cannot bind a socket of the connection file: {error}");
    let heartbeat = zmq::create_kernel_heartbeat_connection(connection).await.map_err(bind)?;
    let iopub = zmq::create_kernel_iopub_xpub_connection(connection, &id).await.map_err(bind)?;
    let shell = zmq::create_kernel_shell_connection(connection, &id).await.map_err(bind)?;
    let control = zmq::create_kernel_control_connection(connection, &id).await.map_err(bind)?;
    let input = zmq::create_kernel_stdin_connection(connection, &id).await.map_err(bind)?;

    let (jobs, queue) = std::sync::mpsc::channel();
    let interrupt = Interrupt::new(session.flag());
    let shared = Arc::new(Shared {
        iopub: IoPub::start(iopub),
        stdin: stdin::Stdin::start(input, Arc::clone(&interrupt)),
        interrupt,
        comms: Comms::new(session.comms()),
        session,
        jobs,
        snapshot: Mutex::default(),
        running: Mutex::default(),
        history: Mutex::new(History::open(History::path(&warm::root()))),
        count: AtomicUsize::new(0),
        ending: AtomicBool::new(false),
    });
    shared.iopub.status("starting", None);
    progress::start(&shared);
    tokio::spawn(beat(heartbeat));
    let engine = Arc::clone(&shared);
    std::thread::Builder::new()
        .name("engine".into())
        .stack_size(16 << 20)
        .spawn(move || engine::work(&engine, &queue))
        .map_err(|error| error.to_string())?;

    let (end, mut ended) = unbounded_channel();
    tokio::spawn(listen(
        shell,
        Arc::clone(&shared),
        |shared, request| {
            // Some clients still send it here.
            if request.kind() == "shutdown_request" {
                return shell::control(shared, &request);
            }
            shell::shell(shared, request);
            false
        },
        end.clone(),
    ));
    tokio::spawn(listen(control, Arc::clone(&shared), |shared, request| shell::control(shared, &request), end.clone()));
    tokio::spawn(interrupt_on_signal(Arc::clone(&shared)));
    tokio::spawn(end_with_parent(end));

    ended.recv().await;
    shared.interrupt.kill_child();
    shared.iopub.flush().await;
    // The reply is in the socket's queue; give it time to leave.
    tokio::time::sleep(Duration::from_millis(100)).await;
    shared.session.remove();
    Ok(())
}

/// Returns what it is sent.
async fn beat(mut heartbeat: zmq::KernelHeartbeatConnection) {
    loop {
        match heartbeat.socket.recv().await {
            Ok(message) => {
                let _ = heartbeat.socket.send(message).await;
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Reads requests of one socket; nothing that a client sends or fails to send ends the loop.
async fn listen(
    socket: zmq::KernelShellConnection,
    shared: Arc<Shared>,
    handle: fn(&Arc<Shared>, Request) -> bool,
    end: UnboundedSender<()>,
) {
    let (mut sender, mut receiver) = socket.split();
    let (replies, mut outgoing) = unbounded_channel();
    tokio::spawn(async move {
        while let Some(message) = outgoing.recv().await {
            if let Err(error) = sender.send(message).await {
                eprintln!("a reply was not delivered: {error}");
            }
        }
    });
    loop {
        let frames = match receiver.socket.recv().await {
            Ok(frames) => frames,
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            }
        };
        let refused = |error: zmq::RuntimeError| match error.to_string() {
            words if words.contains("ring::error") => "its signature is wrong".to_string(),
            words => words,
        };
        let raw = zmq::RawMessage::from_multipart(frames, &receiver.mac).map_err(refused);
        match raw.and_then(|raw| Request::decode(raw, &replies)) {
            Ok(request) => {
                if handle(&shared, request) {
                    let _ = end.send(());
                }
            }
            Err(error) => eprintln!("a message was refused: {error}"),
        }
    }
}

/// Ctrl-C in the terminal that started the kernel is an interrupt.
async fn interrupt_on_signal(shared: Arc<Shared>) {
    while tokio::signal::ctrl_c().await.is_ok() {
        shared.interrupt.request();
    }
}

/// Ends the kernel when the server that started it is gone.
async fn end_with_parent(end: UnboundedSender<()>) {
    if std::env::var_os("JPY_PARENT_PID").is_none() {
        return;
    }
    // SAFETY: a call without pointers. The parent may be a process between the server and this one.
    let parent = || unsafe { libc::getppid() };
    let first = parent();
    while parent() == first {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let _ = end.send(());
}
