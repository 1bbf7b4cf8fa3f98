//! Outputs and states of the kernel → every subscribed client, in order, over the XPUB socket.
//!
//! One task owns the socket, because a subscription is only noticed while it is being read. Stream text that arrives in
//! quick succession is joined, so that a cell that prints in a loop costs few messages, and of the updates of a display
//! that follow each other at once only the last is sent. All that waits is sent before any other message.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jupyter_protocol::messaging::{Header, JupyterMessage};
use jupyter_zmq_client::{KernelIoPubXPubConnection, SubscriptionEvent};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::kernel::lock::lock;
use crate::kernel::protocol::flow::{Admission, Updates, Waiting};
use crate::kernel::protocol::wire;

/// How long stream text waits for more of the same.
const JOIN: Duration = Duration::from_millis(30);

/// The queue in front of the socket; cheap to clone.
#[derive(Clone)]
pub struct IoPub {
    queue: mpsc::UnboundedSender<Item>,
    waiting: Arc<Mutex<Waiting>>,
}

enum Item {
    Message(Box<JupyterMessage>),
    /// An update of the display with this id.
    Update(String, Box<JupyterMessage>),
    Stream {
        name: &'static str,
        text: String,
        parent: Option<Header>,
    },
    Flushed(oneshot::Sender<()>),
}

impl IoPub {
    /// Starts the task that owns the socket.
    pub fn start(socket: KernelIoPubXPubConnection) -> IoPub {
        let (queue, items) = mpsc::unbounded_channel();
        let waiting = Arc::default();
        let publisher = Publisher { socket, pending: None, updates: Updates::default(), waiting: Arc::clone(&waiting) };
        tokio::spawn(publisher.publish(items));
        IoPub { queue, waiting }
    }

    /// Publishes one message.
    pub fn send(&self, kind: &str, content: Value, parent: Option<&Header>) {
        let display = content["transient"]["display_id"].as_str().filter(|_| kind == "update_display_data").map(str::to_string);
        let message = wire::message(kind, content, parent);
        match display {
            Some(id) => drop(self.queue.send(Item::Update(id, Box::new(message)))),
            None => self.post(message),
        }
    }

    /// Publishes a finished message.
    pub fn post(&self, message: JupyterMessage) {
        let _ = self.queue.send(Item::Message(Box::new(message)));
    }

    /// Publishes text on `stdout` or `stderr`.
    pub fn stream(&self, name: &'static str, text: impl Into<String>, parent: Option<&Header>) {
        let text = text.into();
        if text.is_empty() {
            return;
        }
        let admission = lock(&self.waiting).admit(text.len());
        let text = match admission {
            Admission::Taken => text,
            Admission::LeftOut => return,
            Admission::FirstLeftOut => {
                "\n[output is left out here: the cell prints faster than the notebook reads; print less, or into a file]\n".into()
            }
        };
        let _ = self.queue.send(Item::Stream { name, text, parent: parent.cloned() });
    }

    /// Publishes `busy`, `idle` or `starting`.
    pub fn status(&self, state: &str, parent: Option<&Header>) {
        self.send("status", json!({ "execution_state": state }), parent);
    }

    /// Returns when everything sent so far is on the wire.
    pub async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.queue.send(Item::Flushed(done)).is_ok() {
            let _ = flushed.await;
        }
    }
}

/// Stream text that waits for more.
struct Pending {
    name: &'static str,
    text: String,
    parent: Option<Header>,
    due: Instant,
}

/// The task that owns the socket.
struct Publisher {
    socket: KernelIoPubXPubConnection,
    pending: Option<Pending>,
    updates: Updates,
    waiting: Arc<Mutex<Waiting>>,
}

impl Publisher {
    async fn publish(mut self, mut items: mpsc::UnboundedReceiver<Item>) {
        loop {
            let due = self.pending.as_ref().map(|pending| pending.due).into_iter().chain(self.updates.due().map(Instant::from_std)).min();
            tokio::select! {
                event = self.socket.recv_subscription() => match event {
                    Ok(SubscriptionEvent::Subscribe(topic)) => {
                        let mut welcome = wire::message("iopub_welcome", json!({ "subscription": topic }), None);
                        welcome.zmq_identities = vec![topic.into_bytes().into()];
                        write(&mut self.socket, welcome).await;
                    }
                    Ok(SubscriptionEvent::Unsubscribe(_)) => {}
                    // One client's read error; the others go on.
                    Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.send_due().await,
                item = items.recv() => match item {
                    None => return,
                    Some(item) => self.take(item).await,
                },
            }
        }
    }

    async fn take(&mut self, item: Item) {
        match item {
            Item::Stream { name, text, parent } => {
                let same = |pending: &Pending| pending.name == name && id(&pending.parent) == id(&parent);
                if let Some(pending) = self.pending.as_mut().filter(|pending| same(pending)) {
                    pending.text.push_str(&text);
                } else {
                    self.flush_stream().await;
                    self.pending = Some(Pending { name, text, parent, due: Instant::now() + JOIN });
                }
            }
            Item::Update(id, message) => {
                self.updates.push(id, *message, Instant::now().into_std());
                // At its time; text that came before it goes first.
                if self.updates.due().is_some_and(|due| due <= Instant::now().into_std()) {
                    self.flush_stream().await;
                    self.send_due().await;
                }
            }
            Item::Message(message) => {
                self.flush().await;
                write(&mut self.socket, *message).await;
            }
            Item::Flushed(done) => {
                self.flush().await;
                let _ = done.send(());
            }
        }
    }

    /// Sends what has waited long enough.
    async fn send_due(&mut self) {
        let now = Instant::now();
        if self.pending.as_ref().is_some_and(|pending| pending.due <= now) {
            self.flush_stream().await;
        }
        for update in self.updates.take(Some(now.into_std())) {
            write(&mut self.socket, update).await;
        }
    }

    /// Sends all that waits.
    async fn flush(&mut self) {
        for update in self.updates.take(None) {
            write(&mut self.socket, update).await;
        }
        self.flush_stream().await;
    }

    async fn flush_stream(&mut self) {
        if let Some(Pending { name, text, parent, .. }) = self.pending.take() {
            let length = text.len();
            write(&mut self.socket, wire::message("stream", json!({ "name": name, "text": text }), parent.as_ref())).await;
            lock(&self.waiting).sent(length);
        }
    }
}

fn id(parent: &Option<Header>) -> Option<&str> {
    parent.as_ref().map(|header| header.msg_id.as_str())
}

async fn write(socket: &mut KernelIoPubXPubConnection, mut message: JupyterMessage) {
    if message.zmq_identities.is_empty() {
        message.zmq_identities = vec![format!("kernel.{}", message.message_type()).into_bytes().into()];
    }
    // The gate takes it: no client holds up the others.
    if let Err(error) = socket.send(message).await {
        eprintln!("iopub: {error}");
    }
}
