//! A Jupyter client without Python: starts a kernel program, sends it code, hands back its messages.
//!
//! In: the program and a folder for it to work in. Out: each message of a cell as it arrives, then how the cell ended.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use jupyter_protocol::{
    ConnectionInfo, ExecuteRequest, InputReply, InterruptRequest, JupyterMessage, JupyterMessageContent, KernelInfoRequest,
    ShutdownRequest, connection_info::Transport,
};
use jupyter_zmq_client as zmq;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::kernel::prepare::private;
use crate::spawn::{self, Running};

/// How long a kernel may take until it answers for the first time.
const START_LIMIT: Duration = Duration::from_secs(120);
/// How long a cell may say nothing.
const SILENCE_LIMIT: Duration = Duration::from_secs(30 * 60);
/// How long a cell may go on after it was interrupted: the kernel's own ladder ends with a kill.
const INTERRUPT_LIMIT: Duration = Duration::from_secs(60);
/// How long a kernel may take to end.
const END_LIMIT: Duration = Duration::from_secs(10);

/// A message of the kernel.
#[derive(Debug, Clone)]
pub struct Message {
    /// Such as `stream`.
    pub kind: String,
    /// The id of the request that it belongs to.
    pub parent: String,
    pub content: Value,
}

impl From<JupyterMessage> for Message {
    fn from(message: JupyterMessage) -> Message {
        Message {
            kind: message.header.msg_type.clone(),
            parent: message.parent_header.map(|header| header.msg_id).unwrap_or_default(),
            content: serde_json::to_value(&message.content).unwrap_or_default(),
        }
    }
}

/// Why a cell did not end well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellError {
    pub name: String,
    pub value: String,
}

/// A cell that has ended.
#[derive(Debug, Clone)]
pub struct Execution {
    /// The number that the kernel gave the cell.
    pub count: Option<u64>,
    pub error: Option<CellError>,
    /// Whether it was interrupted since it did not end within the limit.
    pub too_long: bool,
}

/// A running kernel; it is ended when this is dropped.
pub struct Kernel {
    process: Running,
    folder: Private,
    connection: ConnectionInfo,
    shell: zmq::ClientShellConnection,
    stdin: zmq::ClientStdinConnection,
    iopub: zmq::ClientIoPubConnection,
    runtime: Runtime,
    limit: Option<Duration>,
}

/// The client's folder, with the key to its kernel; removed at its end.
struct Private {
    path: PathBuf,
    _alive: Option<File>,
}

impl Private {
    fn new() -> Result<Private, String> {
        let path = private::make("finetuning-client-")?;
        Ok(Private { _alive: private::hold(&path), path })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

impl Kernel {
    /// Starts `program kernel <connection file>` in a folder, with these variables beside those of this process, and waits until it
    /// answers.
    ///
    /// # Errors
    /// The program ends or does not answer; its last words are in the message.
    pub fn start(program: &Path, folder: &Path, variables: &[(&str, &OsStr)]) -> Result<Kernel, String> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(text)?;
        let key = random_hex()?;
        let private = Private::new()?;
        // The ports are held until the kernel is about to bind them.
        let (ports, held) = runtime.block_on(zmq::peek_ports_with_listeners([127, 0, 0, 1].into(), 5)).map_err(text)?;
        let connection = ConnectionInfo {
            ip: "127.0.0.1".into(),
            transport: Transport::TCP,
            shell_port: ports[0],
            iopub_port: ports[1],
            stdin_port: ports[2],
            control_port: ports[3],
            hb_port: ports[4],
            key,
            signature_scheme: "hmac-sha256".into(),
            kernel_name: None,
        };
        let file = private.path().join("connection.json");
        write_private(&file, &serde_json::to_string_pretty(&connection).map_err(text)?)?;
        drop(held);
        let mut command = Command::new(program);
        command.arg("kernel").arg(&file).current_dir(folder).env("JPY_PARENT_PID", std::process::id().to_string());
        // Nobody typed these cells.
        command.env(crate::kernel::HISTORY, "").envs(variables.iter().copied());
        let process = Running::start(spawn::log_into(&mut command, &private.path().join("log")).map_err(text)?);
        let mut process = process.map_err(|error| format!("{}: {error}", program.display()))?;
        let (shell, stdin, iopub) = runtime.block_on(connect(&mut process, private.path(), &connection))?;
        Ok(Kernel { process, folder: private, connection, shell, stdin, iopub, runtime, limit: None })
    }

    /// Interrupts each cell that has not ended after this time.
    pub fn limit(&mut self, each: Duration) {
        self.limit = Some(each);
    }

    /// Runs a cell and gives each of its messages to `handle`; what it returns for an `input_request` is the answer.
    ///
    /// # Errors
    /// The kernel ends, says nothing for half an hour, or does not stop at the limit. A cell that fails is no error here: see
    /// [`Execution::error`].
    pub fn execute_with(&mut self, code: &str, handle: &mut dyn FnMut(&Message) -> Option<String>) -> Result<Execution, String> {
        let request: JupyterMessage = ExecuteRequest { allow_stdin: true, ..ExecuteRequest::new(code.into()) }.into();
        let Kernel { process, folder, connection, shell, stdin, iopub, runtime, limit } = self;
        let folder = folder.path();
        let (began, mut interrupted) = (Instant::now(), None::<Instant>);
        let content = runtime.block_on(async {
            let id = request.header.msg_id.clone();
            shell.send(request).await.map_err(text)?;
            let (mut reply, mut idle) = (None, false);
            let mut last = Instant::now();
            while reply.is_none() || !idle {
                match interrupted {
                    None if limit.is_some_and(|limit| began.elapsed() > limit) => {
                        interrupted = Some(Instant::now());
                        control(connection, InterruptRequest {}).await?;
                    }
                    Some(at) if at.elapsed() > INTERRUPT_LIMIT => return Err("the cell did not end, nor after an interrupt".into()),
                    _ => {}
                }
                // All three reads may be cancelled: what has arrived stays in the socket's queue.
                let message = tokio::select! {
                    message = iopub.read() => message,
                    message = shell.read(), if reply.is_none() => message,
                    message = stdin.read() => message,
                    () = tokio::time::sleep(Duration::from_millis(300)) => {
                        alive(process, folder)?;
                        if last.elapsed() > SILENCE_LIMIT {
                            return Err(format!("the cell said nothing for {} minutes", SILENCE_LIMIT.as_secs() / 60));
                        }
                        continue;
                    }
                };
                last = Instant::now();
                let message: Message = match message {
                    Ok(message) => message.into(),
                    // A message of a form that the protocol crate does not know.
                    Err(zmq::RuntimeError::ParseError { .. } | zmq::RuntimeError::SerdeError(_)) => continue,
                    Err(_) => {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        alive(process, folder)?;
                        continue;
                    }
                };
                if message.parent != id && message.kind != "update_display_data" {
                    continue;
                }
                match message.kind.as_str() {
                    "execute_reply" => reply = Some(message.content),
                    "status" => idle |= message.content["execution_state"] == "idle",
                    "input_request" => {
                        let value = handle(&message).unwrap_or_default();
                        stdin.send(InputReply { value, ..InputReply::default() }.into()).await.map_err(text)?;
                    }
                    _ => drop(handle(&message)),
                }
            }
            Ok(reply.unwrap_or_default())
        })?;
        let part = |name: &str| content[name].as_str().unwrap_or_default().to_string();
        let error = (content["status"] != "ok")
            .then(|| CellError { name: if content["ename"].is_string() { part("ename") } else { part("status") }, value: part("evalue") });
        Ok(Execution { count: content["execution_count"].as_u64(), error, too_long: interrupted.is_some() })
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        let asked = self.runtime.block_on(control(&self.connection, ShutdownRequest { restart: false }));
        if asked.is_ok() {
            self.process.ends_within(END_LIMIT);
        }
    }
}

/// Connects the sockets; returns when the kernel has answered on the shell and is heard on iopub.
async fn connect(
    process: &mut Running,
    folder: &Path,
    connection: &ConnectionInfo,
) -> Result<(zmq::ClientShellConnection, zmq::ClientStdinConnection, zmq::ClientIoPubConnection), String> {
    let session = random_hex()?;
    let identity = zmq::peer_identity_for_session(&session).map_err(text)?;
    let sockets = async {
        let shell = zmq::create_client_shell_connection_with_identity(connection, &session, identity.clone()).await?;
        let stdin = zmq::create_client_stdin_connection_with_identity(connection, &session, identity).await?;
        let iopub = zmq::create_client_iopub_connection(connection, "", &session).await?;
        Ok::<_, zmq::RuntimeError>((shell, stdin, iopub))
    };
    let start = Instant::now();
    let mut sockets = std::pin::pin!(sockets);
    let (mut shell, stdin, mut iopub) = loop {
        match tokio::time::timeout(Duration::from_millis(100), &mut sockets).await {
            Ok(sockets) => break sockets.map_err(text)?,
            Err(_) if start.elapsed() > START_LIMIT => return Err("the kernel opened no sockets".into()),
            Err(_) => alive(process, folder)?,
        }
    };
    // A subscription takes a moment: ask until a status is heard.
    loop {
        let request = JupyterMessage::new(KernelInfoRequest {}, None);
        answer(&mut shell, request, START_LIMIT, || alive(process, folder)).await?;
        if tokio::time::timeout(Duration::from_millis(300), iopub.read()).await.is_ok_and(|message| message.is_ok()) {
            return Ok((shell, stdin, iopub));
        }
        if start.elapsed() > START_LIMIT {
            return Err("the kernel is not heard on iopub".into());
        }
    }
}

/// Sends a request and reads until its reply.
async fn answer(
    socket: &mut zmq::ClientShellConnection,
    request: JupyterMessage,
    limit: Duration,
    mut check: impl FnMut() -> Result<(), String>,
) -> Result<Value, String> {
    let id = request.header.msg_id.clone();
    let start = Instant::now();
    socket.send(request).await.map_err(text)?;
    while start.elapsed() < limit {
        match tokio::time::timeout(Duration::from_millis(300), socket.read()).await {
            Ok(Ok(message)) => {
                let message = Message::from(message);
                if message.parent == id {
                    return Ok(message.content);
                }
            }
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => check()?,
        }
    }
    Err(format!("the kernel did not answer within {} s", limit.as_secs()))
}

/// One request on a control channel of its own.
async fn control(connection: &ConnectionInfo, content: impl Into<JupyterMessageContent>) -> Result<Value, String> {
    let session = random_hex()?;
    let socket = zmq::create_client_control_connection(connection, &session);
    let mut socket = tokio::time::timeout(END_LIMIT, socket).await.map_err(|_| "the kernel is gone")?.map_err(text)?;
    answer(&mut socket, JupyterMessage::new(content, None), END_LIMIT, || Ok(())).await
}

/// Fails with the last words of a kernel that has ended.
fn alive(process: &mut Running, folder: &Path) -> Result<(), String> {
    let Some(status) = process.ended() else { return Ok(()) };
    let log = std::fs::read(folder.join("log")).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let last: Vec<&str> = log.lines().rev().take(5).collect();
    let last: Vec<&str> = last.into_iter().rev().collect();
    Err(format!("the kernel ended ({status}): {}", last.join("\n")))
}

/// 32 random hexadecimal digits.
pub fn random_hex() -> Result<String, String> {
    use std::io::Read;
    let mut bytes = [0; 16];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|error| format!("/dev/urandom: {error}"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Writes a file that only its owner may read.
pub fn write_private(path: &Path, content: &str) -> Result<(), String> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(content.as_bytes())).map_err(|error| format!("{}: {error}", path.display()))
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
