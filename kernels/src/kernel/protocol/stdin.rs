//! A cell asks for a line of input → the client that sent the cell is asked → its answer.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jupyter_protocol::messaging::JupyterMessage;
use jupyter_zmq_client::{KernelStdinConnection, RawMessage};
use serde_json::json;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use zeromq::SocketRecv;

use crate::kernel::interrupt::Interrupt;
use crate::kernel::lock::lock;
use crate::kernel::messages::errors::Failure;
use crate::kernel::process::lines::REFUSED;
use crate::kernel::protocol::wire::{self, Received, Request};

/// The stdin channel.
pub struct Stdin {
    questions: UnboundedSender<JupyterMessage>,
    answers: Mutex<Receiver<Request>>,
    interrupt: Arc<Interrupt>,
    refusal: Mutex<Option<Failure>>,
}

impl Stdin {
    /// Starts the tasks that own the socket.
    pub fn start(socket: KernelStdinConnection, interrupt: Arc<Interrupt>, received: Arc<Received>) -> Stdin {
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
                let signature = wire::signature(&frames);
                let raw = RawMessage::from_multipart(frames, &receiver.mac).map_err(|error| error.to_string());
                if let Ok(request) = raw.and_then(|raw| received.first(signature, raw)).and_then(|raw| Request::decode(raw, &replies)) {
                    let _ = incoming.send(request);
                }
            }
        });
        Stdin { questions, answers: Mutex::new(answers), interrupt, refusal: Mutex::default() }
    }

    /// A cell begins; none of its questions was refused yet.
    pub fn begin(&self) {
        *lock(&self.refusal) = None;
    }

    /// Why a question of the cell was not answered.
    pub fn refusal(&self) -> Option<Failure> {
        lock(&self.refusal).take()
    }

    /// Asks the client of a cell. When it takes no questions or the cell is interrupted, the answer is [`REFUSED`], which
    /// makes the cell's reading fail.
    pub fn ask(&self, cell: &Request, prompt: &str, password: bool) -> String {
        let refuse = |name: &str, text: &str| {
            let text = format!("{text}\nthe variables of earlier cells are kept; new ones of this cell are not");
            lock(&self.refusal).get_or_insert_with(|| Failure::new(name, &text));
            REFUSED.to_string()
        };
        if !cell.flag("allow_stdin", false) {
            return refuse(
                "StdinNotImplementedError",
                "the cell wants to read a line, and this front end takes no questions (allow_stdin is false)\n\
                 run the notebook in JupyterLab, or write the value into the cell",
            );
        }
        let question = cell.message("input_request", json!({ "prompt": prompt, "password": password }));
        let id = question.header.msg_id.clone();
        let answers = lock(&self.answers);
        if self.questions.send(question).is_err() {
            return refuse("StdinNotImplementedError", "the kernel is ending, so nobody can be asked");
        }
        while !self.interrupt.is_requested() {
            if let Ok(answer) = answers.recv_timeout(Duration::from_millis(100)) {
                // An answer without a parent is taken as well; only a late one to another question is not.
                if answer.kind() == "input_reply" && answer.parent_id().is_none_or(|parent| parent == id) {
                    return answer.text("value").replace(['\n', '\r', '\x02'], " ");
                }
            }
        }
        refuse("KeyboardInterrupt", "interrupted while waiting for input")
    }
}
