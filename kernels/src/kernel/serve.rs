//! A connection file → five sockets, the thread of the engine, and the loops between them, until the kernel is told to stop.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jupyter_zmq_client as zmq;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use zeromq::{SocketRecv, SocketSend};

use crate::kernel::engine::{progress, queue};
use crate::kernel::interrupt::Interrupt;
use crate::kernel::prepare::path;
use crate::kernel::prepare::session::Session;
use crate::kernel::protocol::connection;
use crate::kernel::protocol::gate::Gate;
use crate::kernel::protocol::history::History;
use crate::kernel::protocol::iopub::IoPub;
use crate::kernel::protocol::stdin::Stdin;
use crate::kernel::protocol::wire::{self, Received, Request};
use crate::kernel::shared::{Job, Shared};
use crate::kernel::shell;
use crate::system::process;

/// Runs the kernel for a connection file until it is told to stop.
///
/// # Errors
/// The file is no connection file, its ports are taken, or nothing can be written for the session.
pub fn run(connection_file: &Path) -> Result<(), String> {
    let connection = connection::read(connection_file)?;
    // evcxr and rust-analyzer read their settings from the environment of the kernel itself.
    let Some(session) = Session::entered() else {
        return Err(Session::new()?.enter(&path::root()));
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(|error| error.to_string())?;
    let result = runtime.block_on(serve(&connection, session));
    // Threads that wait for evcxr are not waited for.
    runtime.shutdown_background();
    result
}

async fn serve(connection: &zmq::ConnectionInfo, session: Session) -> Result<(), String> {
    let id = format!("finetuning-kernel-{}", std::process::id());
    let bind = |error: zmq::RuntimeError| format!("cannot bind a socket: {error}");
    let gate = Gate::new(connection, session.folder()).map_err(|error| format!("no folder for the sockets: {error}"))?;
    let connection = gate.inner();
    let heartbeat = zmq::create_kernel_heartbeat_connection(connection).await.map_err(bind)?;
    let iopub = zmq::create_kernel_iopub_xpub_connection(connection, &id).await.map_err(bind)?;
    let shell = zmq::create_kernel_shell_connection(connection, &id).await.map_err(bind)?;
    let control = zmq::create_kernel_control_connection(connection, &id).await.map_err(bind)?;
    let input = zmq::create_kernel_stdin_connection(connection, &id).await.map_err(bind)?;

    gate.open().await.map_err(|error| format!("cannot bind a port of the connection file: {error}"))?;

    let (jobs, queue) = std::sync::mpsc::channel();
    let received = Arc::new(Received::default());
    let interrupt = Interrupt::new(session.flag());
    let (iopub, stdin) = (IoPub::start(iopub), Stdin::start(input, Arc::clone(&interrupt), Arc::clone(&received)));
    let history = History::open(History::path(&path::root()));
    let shared = Arc::new(Shared::new(iopub, stdin, interrupt, session, history, jobs));
    shared.iopub.status("starting", None);
    progress::start(&shared);
    tokio::spawn(beat(heartbeat));
    let engine = Arc::clone(&shared);
    std::thread::Builder::new()
        .name("engine".into())
        // rust-analyzer takes 50 kB for each level of an expression; the system provides what is used.
        .stack_size(256 << 20)
        .spawn(move || queue::work(&engine, &queue))
        .map_err(|error| error.to_string())?;

    let (end, mut ended) = unbounded_channel();
    tokio::spawn(listen(shell, Arc::clone(&shared), Arc::clone(&received), take, end.clone()));
    tokio::spawn(listen(control, Arc::clone(&shared), received, |shared, request| shell::control(shared, &request), end.clone()));
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

/// A request of the shell channel: a cell waits for `queue::work`, all else is for `shell`; true when the kernel shall end.
fn take(shared: &Arc<Shared>, request: Request) -> bool {
    match request.kind() {
        "execute_request" => shared.queue(Job::Execute(request)),
        // Some clients still send it here.
        "shutdown_request" => return shell::control(shared, &request),
        _ => shell::shell(shared, request),
    }
    false
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
    received: Arc<Received>,
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
        let signature = wire::signature(&frames);
        let refused = |error: zmq::RuntimeError| match error.to_string() {
            words if words.contains("ring::error") => "its signature is wrong".to_string(),
            words => words,
        };
        let raw = zmq::RawMessage::from_multipart(frames, &receiver.mac).map_err(refused);
        match raw.and_then(|raw| received.first(signature, raw)).and_then(|raw| Request::decode(raw, &replies)) {
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
    // It may be a process between the server and this one.
    let first = process::parent();
    while process::parent() == first {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let _ = end.send(());
}
