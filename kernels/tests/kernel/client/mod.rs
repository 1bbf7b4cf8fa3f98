//! A Jupyter client for tests: starts the kernel, sends requests, collects what belongs to them.

use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::{LazyLock, Once};
use std::time::{Duration, Instant};

use jupyter_protocol::messaging::{JupyterMessage, JupyterMessageContent, UnknownMessage};
use jupyter_zmq_client as zmq;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// Longer than anything here takes; a test that waits for it has failed.
const PATIENCE: Duration = Duration::from_secs(180);

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a tokio runtime"));

/// One kernel and the sockets to it.
pub struct Client {
    kernel: Child,
    shell: zmq::ClientShellConnection,
    control: Option<zmq::ClientControlConnection>,
    iopub: zmq::ClientIoPubConnection,
    stdin: zmq::ClientStdinConnection,
    session: String,
    /// Shell, iopub, stdin, control, heartbeat.
    pub ports: [u16; 5],
    /// iopub messages that belong to a request that nobody waits for yet.
    early: Vec<JupyterMessage>,
    early_replies: Vec<JupyterMessage>,
}

/// All that a cell caused.
pub struct Run {
    pub reply: Value,
    pub messages: Vec<(String, Value)>,
}

impl Run {
    /// The contents of all messages of a type.
    pub fn of(&self, kind: &str) -> Vec<Value> {
        self.messages.iter().filter(|(found, _)| found == kind).map(|(_, content)| content.clone()).collect()
    }

    fn stream(&self, name: &str) -> String {
        self.of("stream").iter().filter(|content| content["name"] == name).filter_map(|content| content["text"].as_str()).collect()
    }

    pub fn stdout(&self) -> String {
        self.expect_ok_or_error();
        self.stream("stdout")
    }

    pub fn stderr(&self) -> String {
        self.stream("stderr")
    }

    /// The text of the result of a cell that succeeded.
    #[track_caller]
    pub fn result(&self) -> String {
        self.expect_ok();
        self.of("execute_result")[0]["data"]["text/plain"].as_str().expect("a text").to_string()
    }

    #[track_caller]
    pub fn expect_ok(&self) {
        assert_eq!(self.reply["status"], "ok", "{}\n{}", plain(&self.reply["traceback"]), self.stream("stderr"));
    }

    fn expect_ok_or_error(&self) {
        assert!(self.reply["status"].is_string(), "{}", self.reply);
    }

    /// The error message of a cell that failed.
    #[track_caller]
    pub fn error(&self) -> Value {
        assert_eq!(self.reply["status"], "error", "{}", self.reply);
        self.of("error").first().expect("an error message").clone()
    }

    pub fn number(&self) -> u64 {
        self.reply["execution_count"].as_u64().expect("a count")
    }
}

/// The text of a traceback without colours.
pub fn plain(traceback: &Value) -> String {
    let lines: Vec<&str> = traceback.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut text = lines.join("\n");
    while let Some(start) = text.find("\x1b[") {
        let end = start + text[start..].find('m').expect("an escape sequence ends with m");
        text.replace_range(start..=end, "");
    }
    text
}

impl Client {
    /// Starts a kernel with the crate `companion.rs` in the place of the companion.
    pub fn start() -> Client {
        Client::start_with(|_| {})
    }

    /// Starts one in other surroundings.
    pub fn start_with(change: impl FnOnce(&mut Command)) -> Client {
        RUNTIME.block_on(Client::connect(change))
    }

    async fn connect(change: impl FnOnce(&mut Command)) -> Client {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("kernel-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("deps")).unwrap();
        let library = folder.join(format!("{}finetuning{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kernel/client/companion.rs");
        static BUILT: Once = Once::new();
        BUILT.call_once(|| {
            let arguments = ["--crate-name", "finetuning", "--edition", "2024", "--crate-type", "dylib", "-Cprefer-dynamic", "-o"];
            assert!(Command::new("rustc").args(arguments).arg(&library).arg(source).status().unwrap().success());
        });
        let session = format!("test-{}", std::process::id());
        let (ports, listeners) = zmq::peek_ports_with_listeners("127.0.0.1".parse().unwrap(), 5).await.unwrap();
        let info: zmq::ConnectionInfo = serde_json::from_value(json!({
            "ip": "127.0.0.1", "transport": "tcp", "shell_port": ports[0], "iopub_port": ports[1], "stdin_port": ports[2], "control_port": ports[3],
            "hb_port": ports[4], "key": "secret", "signature_scheme": "hmac-sha256", "kernel_name": "finetuning", "jupyter_session": ""
        }))
        .unwrap();
        let file = folder.join(format!("connection-{}.json", ports[0]));
        std::fs::write(&file, serde_json::to_vec(&info).unwrap()).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        drop(listeners);
        let mut kernel = Command::new(env!("CARGO_BIN_EXE_lab"));
        kernel.arg("kernel").arg(&file).env("FINETUNING_COMPANION", &library).env("FINETUNING_COMPANION_SOURCE", source);
        kernel.env("FINETUNING_HISTORY", folder.join(format!("history-{}.jsonl", ports[0])));
        kernel.env("JPY_PARENT_PID", std::process::id().to_string());
        change(&mut kernel);
        let kernel = kernel.spawn().unwrap();
        let identity = zmq::peer_identity_for_session(&session).unwrap();
        let started = Instant::now();
        // The sockets are there when the kernel has bound them.
        let shell = loop {
            match zmq::create_client_shell_connection_with_identity(&info, &session, identity.clone()).await {
                Ok(shell) => break shell,
                Err(error) => assert!(started.elapsed() < PATIENCE, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let stdin = zmq::create_client_stdin_connection_with_identity(&info, &session, identity).await.unwrap();
        let mut iopub = zmq::create_client_iopub_connection(&info, "", &session).await.unwrap();
        let control = zmq::create_client_control_connection(&info, &session).await.unwrap();
        let welcome = timeout(PATIENCE, iopub.read()).await.unwrap().unwrap();
        assert_eq!(welcome.message_type(), "iopub_welcome");
        let ports = std::array::from_fn(|index| ports[index]);
        Client { kernel, shell, control: Some(control), iopub, stdin, session, ports, early: Vec::new(), early_replies: Vec::new() }
    }

    fn message(&self, kind: &str, content: Value) -> JupyterMessage {
        let content = JupyterMessageContent::UnknownMessage(UnknownMessage { msg_type: kind.into(), content });
        JupyterMessage::new(content, None).with_session(&self.session)
    }

    /// Sends a request on the shell channel and returns the content of its reply.
    pub fn ask(&mut self, kind: &str, content: Value) -> Value {
        let message = self.message(kind, content);
        let id = message.header.msg_id.clone();
        RUNTIME.block_on(self.shell.send(message)).unwrap();
        self.wait(&id).reply
    }

    /// Runs a cell.
    pub fn run(&mut self, code: &str) -> Run {
        self.run_with(code, json!({}))
    }

    /// Runs a cell of a notebook, which has an identity there.
    pub fn run_in_place(&mut self, identity: &str, code: &str) -> Run {
        let mut message = self.message("execute_request", json!({ "code": code, "silent": false, "store_history": true }));
        message.metadata = json!({ "cellId": identity });
        let id = message.header.msg_id.clone();
        RUNTIME.block_on(self.shell.send(message)).unwrap();
        self.wait(&id)
    }

    /// Runs a cell with other fields of the request than the usual ones.
    pub fn run_with(&mut self, code: &str, fields: Value) -> Run {
        let id = self.send_cell(code, fields);
        self.wait(&id)
    }

    /// Runs a cell and calls `seen` for each message as it comes.
    pub fn run_and_watch(&mut self, code: &str, seen: impl FnMut(&str, &Value)) -> Run {
        let id = self.send_cell(code, json!({}));
        self.wait_and_watch(&id, seen)
    }

    /// Sends the very same request twice, which nobody but an eavesdropper does.
    pub fn run_twice(&mut self, code: &str) -> Run {
        let message = self.message("execute_request", json!({ "code": code, "silent": false, "store_history": true }));
        for _ in 0..2 {
            RUNTIME.block_on(self.shell.send(message.clone())).unwrap();
        }
        self.wait(&message.header.msg_id)
    }

    /// Sends a message that has no reply on the shell channel.
    pub fn tell(&mut self, kind: &str, content: Value) {
        let message = self.message(kind, content);
        RUNTIME.block_on(self.shell.send(message)).unwrap();
    }

    /// Sends a message with metadata and binary parts.
    pub fn tell_with(&mut self, kind: &str, content: Value, metadata: Value, buffers: &[&'static [u8]]) {
        let mut message = self.message(kind, content);
        message.metadata = metadata;
        message.buffers = buffers.iter().map(|part| (*part).into()).collect();
        RUNTIME.block_on(self.shell.send(message)).unwrap();
    }

    /// Waits until a cell prints this text; it may go on running.
    pub fn wait_for_stream(&mut self, text: &str) {
        loop {
            let message =
                RUNTIME.block_on(async { timeout(PATIENCE, self.iopub.read()).await }).expect("a message in time").expect("a message");
            let found = message.message_type() == "stream" && serde_json::to_value(&message.content).unwrap()["text"] == text;
            self.early.push(message);
            if found {
                return;
            }
        }
    }

    /// Runs a cell and interrupts it so many times as soon as it prints.
    pub fn run_and_interrupt(&mut self, code: &str, times: usize) -> Run {
        self.run_and_interrupt_at("stream", code, times)
    }

    /// Runs a cell and interrupts it so many times at its first message of a type.
    pub fn run_and_interrupt_at(&mut self, place: &str, code: &str, times: usize) -> Run {
        let id = self.send_cell(code, json!({}));
        let requests: Vec<JupyterMessage> = (0..times).map(|_| self.message("interrupt_request", json!({}))).collect();
        let mut control = self.control.take().expect("no other interrupt is on its way");
        let mut requests = requests.into_iter();
        let run = self.wait_and_watch(&id, |kind, _| {
            if kind == place {
                RUNTIME.block_on(async {
                    for (place, request) in requests.by_ref().enumerate() {
                        if place > 0 {
                            // Two presses within a second are one.
                            tokio::time::sleep(Duration::from_millis(1100)).await;
                        }
                        control.send(request).await.unwrap();
                        let reply = timeout(PATIENCE, control.read()).await.expect("a reply in time").expect("a reply");
                        assert_eq!(reply.message_type(), "interrupt_reply");
                    }
                });
            }
        });
        self.control = Some(control);
        run
    }

    /// Runs a cell that may ask for input; takes each prompt and what to answer.
    pub fn run_and_answer(&mut self, code: &str, answers: &[(&str, &str)]) -> Run {
        let id = self.send_cell(code, json!({ "allow_stdin": true }));
        RUNTIME.block_on(async {
            for (prompt, answer) in answers {
                let question = timeout(PATIENCE, self.stdin.read()).await.expect("a question in time").expect("a question");
                let content = serde_json::to_value(&question.content).unwrap();
                assert_eq!((question.message_type(), content["prompt"].as_str()), ("input_request", Some(*prompt)));
                let content = JupyterMessageContent::UnknownMessage(UnknownMessage {
                    msg_type: "input_reply".into(),
                    content: json!({ "value": answer }),
                });
                self.stdin.send(JupyterMessage::new(content, Some(&question))).await.unwrap();
            }
        });
        self.wait(&id)
    }

    /// Runs a cell that asks for input and interrupts it at its question.
    pub fn run_and_interrupt_question(&mut self, code: &str) -> Run {
        let id = self.send_cell(code, json!({ "allow_stdin": true }));
        RUNTIME.block_on(async { timeout(PATIENCE, self.stdin.read()).await.expect("a question in time").expect("a question") });
        assert_eq!(self.ask_control("interrupt_request", json!({})), json!({ "status": "ok" }));
        self.wait(&id)
    }

    /// Sends a request on the control channel and returns the content of its reply.
    pub fn ask_control(&mut self, kind: &str, content: Value) -> Value {
        let message = self.message(kind, content);
        let control = self.control.as_mut().expect("no interrupt is on its way");
        let reply = RUNTIME.block_on(async {
            control.send(message).await.unwrap();
            timeout(PATIENCE, control.read()).await.expect("a reply in time").expect("a reply")
        });
        assert_eq!(reply.message_type(), kind.replace("_request", "_reply"));
        serde_json::to_value(&reply.content).unwrap()
    }

    /// Sends a cell; the id is for [`Client::wait`].
    pub fn send_cell(&mut self, code: &str, fields: Value) -> String {
        let mut content = json!({ "code": code, "silent": false, "store_history": true, "user_expressions": {}, "allow_stdin": false, "stop_on_error": true });
        for (name, value) in fields.as_object().unwrap() {
            content[name] = value.clone();
        }
        let message = self.message("execute_request", content);
        let id = message.header.msg_id.clone();
        RUNTIME.block_on(self.shell.send(message)).unwrap();
        id
    }

    /// Collects a request's messages until both its idle state and its reply are there.
    pub fn wait(&mut self, id: &str) -> Run {
        self.wait_and_watch(id, |_, _| {})
    }

    fn wait_and_watch(&mut self, id: &str, mut seen: impl FnMut(&str, &Value)) -> Run {
        let belongs = |message: &JupyterMessage| message.parent_header.as_ref().is_some_and(|parent| parent.msg_id == id);
        let mut messages = Vec::new();
        let mut early = std::mem::take(&mut self.early).into_iter();
        loop {
            let message = match early.next() {
                Some(message) => message,
                None => {
                    RUNTIME.block_on(async { timeout(PATIENCE, self.iopub.read()).await }).expect("a message in time").expect("a message")
                }
            };
            if !belongs(&message) {
                self.early.push(message);
                continue;
            }
            let (kind, content) = (message.message_type().to_string(), serde_json::to_value(&message.content).unwrap());
            seen(&kind, &content);
            let idle = kind == "status" && content["execution_state"] == "idle";
            messages.push((kind, content));
            if idle {
                break;
            }
        }
        self.early.extend(early);
        if let Some(index) = self.early_replies.iter().position(belongs) {
            let reply = self.early_replies.remove(index);
            return Run { reply: serde_json::to_value(&reply.content).unwrap(), messages };
        }
        loop {
            let reply = RUNTIME.block_on(async { timeout(PATIENCE, self.shell.read()).await }).expect("a reply in time").expect("a reply");
            if belongs(&reply) {
                return Run { reply: serde_json::to_value(&reply.content).unwrap(), messages };
            }
            self.early_replies.push(reply);
        }
    }

    /// Sends shutdown_request on the control channel.
    pub fn shutdown(&mut self, restart: bool) -> Value {
        self.ask_control("shutdown_request", json!({ "restart": restart }))
    }

    /// The text of a stream that has come for a request after its end.
    pub fn late(&self, id: &str, name: &str) -> String {
        let belongs = |message: &&JupyterMessage| message.parent_header.as_ref().is_some_and(|parent| parent.msg_id == id);
        let contents = self.early.iter().filter(belongs).filter(|message| message.message_type() == "stream");
        let contents = contents.map(|message| serde_json::to_value(&message.content).unwrap());
        contents.filter(|content| content["name"] == name).map(|content| content["text"].as_str().unwrap().to_string()).collect()
    }

    /// Waits for the end of the process.
    pub fn exit_status(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.kernel.try_wait().unwrap() {
                return status;
            }
            assert!(started.elapsed() < PATIENCE, "the kernel does not end");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
