//! Outputs and states of the kernel → every subscribed client, in order, over the XPUB socket.
//!
//! One task owns the socket, because a subscription is only noticed while it is being read. Stream text that arrives in
//! quick succession is joined, so that a cell that prints in a loop costs few messages.

use std::time::Duration;

use jupyter_protocol::messaging::{Header, JupyterMessage};
use jupyter_zmq_client::{KernelIoPubXPubConnection, SubscriptionEvent};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use super::wire;

/// How long stream text waits for more of the same.
const JOIN: Duration = Duration::from_millis(30);
/// How long a client may block the socket before its message is given up.
const STALLED: Duration = Duration::from_secs(5);

/// The queue in front of the socket; cheap to clone.
#[derive(Clone)]
pub struct IoPub {
    queue: mpsc::UnboundedSender<Item>,
}

enum Item {
    Message(Box<JupyterMessage>),
    Stream { name: &'static str, text: String, parent: Option<Header> },
    Flushed(oneshot::Sender<()>),
}

impl IoPub {
    /// Starts the task that owns the socket.
    pub fn start(socket: KernelIoPubXPubConnection) -> IoPub {
        let (queue, items) = mpsc::unbounded_channel();
        tokio::spawn(publish(socket, items));
        IoPub { queue }
    }

    /// Publishes one message.
    pub fn send(&self, kind: &str, content: Value, parent: Option<&Header>) {
        let _ = self.queue.send(Item::Message(Box::new(wire::message(kind, content, parent))));
    }

    /// Publishes text on `stdout` or `stderr`.
    pub fn stream(&self, name: &'static str, text: impl Into<String>, parent: Option<&Header>) {
        let text = text.into();
        if !text.is_empty() {
            let _ = self.queue.send(Item::Stream { name, text, parent: parent.cloned() });
        }
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

async fn publish(mut socket: KernelIoPubXPubConnection, mut items: mpsc::UnboundedReceiver<Item>) {
    let mut pending: Option<Pending> = None;
    loop {
        let due = pending.as_ref().map(|pending| pending.due);
        tokio::select! {
            event = socket.recv_subscription() => match event {
                Ok(SubscriptionEvent::Subscribe(topic)) => {
                    let mut welcome = wire::message("iopub_welcome", json!({ "subscription": topic }), None);
                    welcome.zmq_identities = vec![topic.into_bytes().into()];
                    write(&mut socket, welcome).await;
                }
                Ok(SubscriptionEvent::Unsubscribe(_)) => {}
                // One client's read error; the others go on.
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            },
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => flush(&mut socket, &mut pending).await,
            item = items.recv() => match item {
                None => return,
                Some(Item::Stream { name, text, parent }) => {
                    let same = |pending: &Pending| pending.name == name && id(&pending.parent) == id(&parent);
                    if let Some(pending) = pending.as_mut().filter(|pending| same(pending)) {
                        pending.text.push_str(&text);
                    } else {
                        flush(&mut socket, &mut pending).await;
                        pending = Some(Pending { name, text, parent, due: Instant::now() + JOIN });
                    }
                }
                Some(Item::Message(message)) => {
                    flush(&mut socket, &mut pending).await;
                    write(&mut socket, *message).await;
                }
                Some(Item::Flushed(done)) => {
                    flush(&mut socket, &mut pending).await;
                    let _ = done.send(());
                }
            },
        }
    }
}

fn id(header: &Option<Header>) -> Option<&str> {
    header.as_ref().map(|header| header.msg_id.as_str())
}

async fn flush(socket: &mut KernelIoPubXPubConnection, pending: &mut Option<Pending>) {
    if let Some(Pending { name, text, parent, .. }) = pending.take() {
        write(socket, wire::message("stream", json!({ "name": name, "text": text }), parent.as_ref())).await;
    }
}

async fn write(socket: &mut KernelIoPubXPubConnection, mut message: JupyterMessage) {
    if message.zmq_identities.is_empty() {
        message.zmq_identities = vec![format!("kernel.{}", message.message_type()).into_bytes().into()];
    }
    match timeout(STALLED, socket.send(message)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => eprintln!("iopub: {error}"),
        Err(_) => eprintln!("iopub: a client does not read; one message was given up"),
    }
}
