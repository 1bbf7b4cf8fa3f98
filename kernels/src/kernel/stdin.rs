//! A cell asks for a line of input → the client that sent the cell is asked → its answer.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jupyter_protocol::messaging::JupyterMessage;
use jupyter_zmq_client::{KernelStdinConnection, RawMessage};
use serde_json::json;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use zeromq::SocketRecv;

use super::interrupt::Interrupt;
use super::wire::Request;

/// The stdin channel.
pub struct Stdin {
    questions: UnboundedSender<JupyterMessage>,
    answers: Mutex<Receiver<Request>>,
    interrupt: Arc<Interrupt>,
}

impl Stdin {
    /// Starts the tasks that own the socket.
    pub fn start(socket: KernelStdinConnection, interrupt: Arc<Interrupt>) -> Stdin {
        let (mut sender, mut receiver) = socket.split();
        let (questions, mut outgoing) = unbounded_channel();
        let (incoming, answers): (Sender<Request>, _) = channel();
        tokio::spawn(async move {
            while let Some(message) = outgoing.recv().await {
                if let Err(error) = sender.send(message).await {
                    eprintln!("stdin: {error}");
                }
            }
        });
        let replies = questions.clone();
        tokio::spawn(async move {
            loop {
                let Ok(frames) = receiver.socket.recv().await else {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                };
                let raw = RawMessage::from_multipart(frames, &receiver.mac).map_err(|error| error.to_string());
                if let Ok(request) = raw.and_then(|raw| Request::decode(raw, &replies)) {
                    let _ = incoming.send(request);
                }
            }
        });
        Stdin { questions, answers: Mutex::new(answers), interrupt }
    }

    /// Asks the client of a cell; an empty line when it takes no questions or the cell is interrupted.
    pub fn ask(&self, cell: &Request, prompt: &str, password: bool) -> String {
        if !cell.flag("allow_stdin", false) {
            return String::new();
        }
        let question = cell.message("input_request", json!({ "prompt": prompt, "password": password }));
        let id = question.header.msg_id.clone();
        if self.questions.send(question).is_err() {
            return String::new();
        }
        let answers = super::lock(&self.answers);
        while !self.interrupt.flag().exists() {
            if let Ok(answer) = answers.recv_timeout(Duration::from_millis(100)) {
                // An answer without a parent is taken as well; only a late one to another question is not.
                if answer.kind() == "input_reply" && answer.parent_id().is_none_or(|parent| parent == id) {
                    return answer.text("value").replace(['\n', '\r'], " ");
                }
            }
        }
        String::new()
    }
}
