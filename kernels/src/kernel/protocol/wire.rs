//! Signed multipart frames of a Jupyter socket → [`Request`]; JSON content → a signed message.
//!
//! Requests are read tolerantly: a field that a client leaves out gets the protocol's default instead of an error, since
//! a request without an answer blocks its client for good.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex};

use jupyter_protocol::messaging::{Header, JupyterMessage, JupyterMessageContent, UnknownMessage};
use jupyter_zmq_client::RawMessage;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc::UnboundedSender;
use zeromq::ZmqMessage;

use crate::kernel::lock::lock;

/// The version of the Jupyter messaging protocol that the kernel speaks.
pub const PROTOCOL: &str = "5.4";

/// How many signatures are remembered: no client sends as many messages while an old one is worth sending again.
const REMEMBERED: usize = 1 << 18;

/// The signatures of the messages that have come, on all sockets: whoever has heard a message cannot send it again.
#[derive(Default)]
pub struct Received(Mutex<Signatures>);

/// Signatures, also in the order in which they came.
#[derive(Default)]
struct Signatures {
    set: HashSet<Vec<u8>>,
    order: VecDeque<Vec<u8>>,
}

/// The signature of a message, behind the frame that ends its addresses.
pub fn signature(frames: &ZmqMessage) -> Vec<u8> {
    let frames = frames.iter().skip_while(|frame| &frame[..] != b"<IDS|MSG>").nth(1);
    frames.map(|frame| frame.to_vec()).unwrap_or_default()
}

impl Received {
    /// The message, if its signature is right and has not come before; without a key nothing is signed.
    ///
    /// # Errors
    /// It was sent before.
    pub fn first(&self, signature: Vec<u8>, message: RawMessage) -> Result<RawMessage, String> {
        let mut known = lock(&self.0);
        if signature.is_empty() {
            return Ok(message);
        }
        if !known.set.insert(signature.clone()) {
            return Err("the same message has come before".into());
        }
        known.order.push_back(signature);
        if known.order.len() > REMEMBERED
            && let Some(oldest) = known.order.pop_front()
        {
            known.set.remove(&oldest);
        }
        Ok(message)
    }
}

/// One request of a client and the way back to it.
#[derive(Clone)]
pub struct Request {
    /// The request's header, the parent of everything it causes.
    pub header: Arc<Header>,
    /// The content, any JSON object.
    pub content: Value,
    /// The metadata, any JSON object, and the binary parts; only comms have some.
    pub metadata: Value,
    pub buffers: Vec<Vec<u8>>,
    frame: Arc<JupyterMessage>,
    replies: UnboundedSender<JupyterMessage>,
}

impl Request {
    /// Decodes frames whose signature was checked; `replies` is the queue of the socket they came from.
    pub fn decode(raw: RawMessage, replies: &UnboundedSender<JupyterMessage>) -> Result<Request, String> {
        let header = header(&parse(&raw.jparts[0])?);
        let parent = parse(&raw.jparts[1]).ok().filter(|parent| parent["msg_id"].is_string()).map(|parent| self::header(&parent));
        let metadata = parse(&raw.jparts[2]).ok().filter(Value::is_object).unwrap_or_else(|| json!({}));
        let content = parse(&raw.jparts[3])?;
        let buffers = raw.jparts[4..].iter().map(|part| part.to_vec()).collect();
        let frame = JupyterMessage {
            zmq_identities: raw.zmq_identities,
            header: header.clone(),
            parent_header: parent,
            metadata: json!({}),
            content: raw_content(&header.msg_type, Value::Null),
            buffers: Vec::new(),
            channel: None,
        };
        Ok(Request { header: Arc::new(header), content, metadata, buffers, frame: Arc::new(frame), replies: replies.clone() })
    }

    /// The message type, such as `execute_request`.
    pub fn kind(&self) -> &str {
        &self.header.msg_type
    }

    /// A text field; empty when it is missing.
    pub fn text(&self, field: &str) -> &str {
        self.content[field].as_str().unwrap_or_default()
    }

    /// A boolean field with its default.
    pub fn flag(&self, field: &str, default: bool) -> bool {
        self.content[field].as_bool().unwrap_or(default)
    }

    /// A number field with its default.
    pub fn number(&self, field: &str, default: usize) -> usize {
        self.content[field].as_u64().map_or(default, |number| number as usize)
    }

    /// The `msg_id` of the message that this one answers.
    pub fn parent_id(&self) -> Option<&str> {
        self.frame.parent_header.as_ref().map(|parent| parent.msg_id.as_str())
    }

    /// Answers with the reply type that belongs to the request.
    pub fn reply(&self, content: Value) {
        self.send(&self.kind().replace("_request", "_reply"), content);
    }

    /// Sends a message to the client on the socket of the request.
    pub fn send(&self, kind: &str, content: Value) {
        let _ = self.replies.send(self.message(kind, content));
    }

    /// A message to the same client, for another socket.
    pub fn message(&self, kind: &str, content: Value) -> JupyterMessage {
        let mut message = message(kind, content, Some(&self.header));
        message.zmq_identities.clone_from(&self.frame.zmq_identities);
        message
    }
}

/// A message with a fresh id; without identities, so for iopub the caller sets the topic.
pub fn message(kind: &str, content: Value, parent: Option<&Header>) -> JupyterMessage {
    let mut message = JupyterMessage::new(raw_content(kind, content), None);
    message.header.username = "kernel".into();
    message.header.version = PROTOCOL.into();
    message.parent_header = parent.cloned();
    message
}

fn raw_content(kind: &str, content: Value) -> JupyterMessageContent {
    JupyterMessageContent::UnknownMessage(UnknownMessage { msg_type: kind.into(), content })
}

fn parse(frame: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(frame).map_err(|error| format!("a frame is not JSON: {error}"))
}

/// A header from JSON with whatever fields are there.
fn header(json: &Value) -> Header {
    let mut fields = Map::new();
    for name in ["msg_id", "username", "session", "msg_type", "version"] {
        fields.insert(name.into(), json[name].as_str().unwrap_or_default().into());
    }
    fields.insert("date".into(), json["date"].clone());
    serde_json::from_value(Value::Object(fields)).expect("all header fields are set")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_is_sent_again_is_refused() {
        let received = Received::default();
        let message = || RawMessage { zmq_identities: vec![], jparts: vec![] };
        let mut frames = ZmqMessage::from(b"me".to_vec());
        for frame in [&b"<IDS|MSG>"[..], b"abc", b"{}"] {
            frames.push_back(frame.to_vec().into());
        }
        assert_eq!(signature(&frames), b"abc");
        assert!(received.first(signature(&frames), message()).is_ok());
        assert_eq!(received.first(signature(&frames), message()).err().unwrap(), "the same message has come before");
        assert!(received.first(b"abd".to_vec(), message()).is_ok());
        // Without a key.
        assert!(received.first(vec![], message()).is_ok() && received.first(vec![], message()).is_ok());
    }

    #[test]
    fn a_request_without_its_optional_fields_is_read() {
        let (replies, mut queue) = tokio::sync::mpsc::unbounded_channel();
        let frames = [r#"{"msg_id":"a","msg_type":"execute_request"}"#, "{}", "{}", r#"{"code":"1"}"#];
        let raw = RawMessage { zmq_identities: vec!["me".into()], jparts: frames.iter().map(|frame| (*frame).into()).collect() };
        let request = Request::decode(raw, &replies).unwrap();
        assert_eq!((request.kind(), request.text("code"), request.flag("silent", false)), ("execute_request", "1", false));
        assert_eq!(request.parent_id(), None);
        request.reply(json!({"status": "ok"}));
        let reply = queue.try_recv().unwrap();
        assert_eq!(reply.message_type(), "execute_reply");
        assert_eq!(reply.parent_header.unwrap().msg_id, "a");
        assert_eq!(reply.zmq_identities.len(), 1);
    }
}
