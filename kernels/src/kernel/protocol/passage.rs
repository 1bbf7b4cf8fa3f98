//! The frames of one client ↔ those of a socket, within limits.
//!
//! In: a message of at most [`MESSAGE`] bytes, a command of at most [`COMMAND`], a handshake that ends in time, [`UNFINISHED`] bytes
//! of messages that have no end yet; what is announced is refused before anything is allocated. Out: a client that
//! does not read loses outputs, whole ones, once [`WAITING`] bytes wait for it, and holds up nobody; states, results and
//! replies wait for it, until it is told to leave at [`MOST`].

use std::io::{Error, ErrorKind, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy};
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

/// The longest message, its frames and [`FRAME`] bytes for each of them together.
pub const MESSAGE: u64 = 64 << 20;
/// The longest command, such as a subscription or the properties of a client.
pub const COMMAND: u64 = 64 << 10;
/// What a frame costs beside its bytes.
const FRAME: u64 = 64;
/// The length of the greeting, with which each side begins.
const GREETING: usize = 64;
/// How long a client may take to say who it is.
pub const HANDSHAKE: Duration = Duration::from_secs(10);
/// How many bytes of unfinished messages all clients of a kernel may have sent.
const UNFINISHED: usize = 256 << 20;
/// How many bytes may wait for a client before outputs are left out for it, and before it is told to leave.
const WAITING: usize = 16 << 20;
const MOST: usize = 256 << 20;
/// How long the kernel waits for a client that is slow, before it takes it for one that does not read.
const PAUSE: Duration = Duration::from_millis(200);
/// The first frames of messages that a client can do without.
const OUTPUTS: [&str; 5] = ["kernel.stream", "kernel.display_data", "kernel.update_display_data", "kernel.clear_output", "kernel.comm_"];

/// The bytes of a message that has no end yet, among those of all clients.
struct Open {
    all: Arc<AtomicUsize>,
    own: usize,
}

impl Open {
    /// So many bytes more; whether there is room for them.
    fn grow(&mut self, bytes: usize) -> bool {
        self.own += bytes;
        self.all.fetch_add(bytes, Ordering::SeqCst) + bytes <= UNFINISHED
    }

    /// The message has its end.
    fn end(&mut self) {
        self.all.fetch_sub(std::mem::take(&mut self.own), Ordering::SeqCst);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.end();
    }
}

/// The head of a frame: its kind, and how many bytes follow.
struct Head {
    bytes: [u8; 9],
    /// Of `bytes`.
    size: usize,
    length: u64,
}

impl Head {
    async fn read(from: &mut (impl AsyncRead + Unpin)) -> Result<Head> {
        let mut head = Head { bytes: [0; 9], size: 2, length: 0 };
        from.read_exact(&mut head.bytes[..2]).await?;
        if head.bytes[0] & 2 == 0 {
            head.length = head.bytes[1].into();
        } else {
            head.size = 9;
            from.read_exact(&mut head.bytes[2..]).await?;
            head.length = u64::from_be_bytes(head.bytes[1..].try_into().expect("eight bytes"));
        }
        Ok(head)
    }

    fn has_more(&self) -> bool {
        self.bytes[0] & 1 != 0
    }

    fn is_command(&self) -> bool {
        self.bytes[0] & 4 != 0
    }
}

/// One direction: what a client sends.
pub struct Inward<C, S> {
    client: C,
    socket: S,
    open: Open,
    /// The bytes of the message that has begun.
    whole: u64,
}

fn refused(text: String) -> Error {
    Error::new(ErrorKind::InvalidData, text)
}

impl<C: AsyncRead + Unpin, S: AsyncWrite + Unpin> Inward<C, S> {
    /// From a client to a socket; `unfinished` counts the bytes of all clients' messages that have no end yet.
    pub fn new(client: C, socket: S, unfinished: Arc<AtomicUsize>) -> Inward<C, S> {
        Inward { client, socket, open: Open { all: unfinished, own: 0 }, whole: 0 }
    }

    /// Passes on all that comes, as long as it keeps to the limits; it never ends well.
    ///
    /// # Errors
    /// The client has gone, or is sent away.
    pub async fn pass(mut self, handshake: Duration) -> Result<()> {
        let late = |_| refused(format!("it has not said who it is in {} s", handshake.as_secs()));
        timeout(handshake, self.greet()).await.map_err(late)??;
        loop {
            self.frame().await?;
        }
    }

    /// The greeting and the first command.
    async fn greet(&mut self) -> Result<()> {
        let mut greeting = [0; GREETING];
        self.client.read_exact(&mut greeting).await?;
        self.socket.write_all(&greeting).await?;
        self.frame().await
    }

    async fn frame(&mut self) -> Result<()> {
        let head = Head::read(&mut self.client).await?;
        if head.bytes[0] > 7 || (head.is_command() && head.has_more()) {
            return Err(refused(format!("no frame begins with the byte {}", head.bytes[0])));
        }
        // A command may come between two frames of a message.
        let (what, whole, limit) = match head.is_command() {
            true => ("command", head.length, COMMAND),
            false => ("message", self.whole.saturating_add(head.length).saturating_add(FRAME), MESSAGE),
        };
        if whole > limit {
            return Err(refused(format!("a {what} of {whole} bytes or more was announced, {limit} are allowed")));
        }
        if !head.is_command() {
            self.whole = whole;
            if !self.open.grow((head.length + FRAME) as usize) {
                return Err(refused(format!("all clients together may have {UNFINISHED} bytes of unfinished messages")));
            }
        }
        self.socket.write_all(&head.bytes[..head.size]).await?;
        if copy(&mut (&mut self.client).take(head.length), &mut self.socket).await? < head.length {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if !head.is_command() && !head.has_more() {
            self.whole = 0;
            self.open.end();
        }
        Ok(())
    }
}

/// Passes on what a socket sends, message by message, and never lets it wait for long.
pub async fn outward(mut socket: impl AsyncRead + Unpin, mut client: impl AsyncWrite + Unpin, publishes: bool) -> Result<()> {
    let (queue, mut queued) = mpsc::unbounded_channel::<Vec<u8>>();
    let (waiting, sent) = (AtomicUsize::new(0), Notify::new());
    let mut greeting = vec![0; GREETING];
    socket.read_exact(&mut greeting).await?;
    client.write_all(&greeting).await?;
    let write = async {
        while let Some(message) = queued.recv().await {
            client.write_all(&message).await?;
            waiting.fetch_sub(message.len(), Ordering::SeqCst);
            sent.notify_one();
        }
        Ok(())
    };
    let read = async {
        let mut leaves_out = false;
        loop {
            let message = message(&mut socket).await?;
            let full = |limit: usize| waiting.load(Ordering::SeqCst) + message.len() > limit && waiting.load(Ordering::SeqCst) > 0;
            if publishes && is_output(&message) && full(if leaves_out { WAITING / 2 } else { WAITING }) {
                let room = async {
                    while full(WAITING) {
                        sent.notified().await;
                    }
                };
                if leaves_out || timeout(PAUSE, room).await.is_err() {
                    if !std::mem::replace(&mut leaves_out, true) {
                        eprintln!("a client does not read: outputs are left out for it");
                    }
                    continue;
                }
            } else {
                leaves_out &= full(WAITING / 2);
            }
            if full(MOST) {
                return Err(Error::new(ErrorKind::InvalidData, format!("{MOST} bytes wait for it, and it does not read")));
            }
            waiting.fetch_add(message.len(), Ordering::SeqCst);
            if queue.send(message).is_err() {
                return Ok(());
            }
        }
    };
    tokio::select! {
        ended = write => ended,
        ended = read => ended,
    }
}

/// All frames of a message of our own, or one command, as they are on the wire.
async fn message(socket: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>> {
    let mut message = Vec::new();
    loop {
        let head = Head::read(socket).await?;
        message.extend_from_slice(&head.bytes[..head.size]);
        let read = (&mut *socket).take(head.length).read_to_end(&mut message).await?;
        if (read as u64) < head.length {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if !head.has_more() {
            return Ok(message);
        }
    }
}

/// Whether a message is one that a client can do without: its first frame names it.
fn is_output(message: &[u8]) -> bool {
    let topic = if message[0] & 2 == 0 { message.get(2..) } else { message.get(9..) };
    message[0] & 4 == 0 && topic.is_some_and(|topic| OUTPUTS.iter().any(|name| topic.starts_with(name.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::duplex;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    fn open() -> Open {
        Open { all: Arc::default(), own: 0 }
    }

    async fn inward(client: impl AsyncRead + Unpin, socket: impl AsyncWrite + Unpin, handshake: Duration) -> Error {
        Inward::new(client, socket, Arc::default()).pass(handshake).await.unwrap_err()
    }

    fn frame(flags: u8, body: &[u8]) -> Vec<u8> {
        [&[flags | 2][..], &(body.len() as u64).to_be_bytes(), body].concat()
    }

    /// What passes of these bytes behind a greeting, and why the client is sent away.
    fn passed(bytes: &[u8]) -> (Vec<u8>, String) {
        runtime().block_on(async {
            let mut out = Vec::new();
            let input = [&[0; GREETING][..], bytes].concat();
            let error = inward(&input[..], &mut out, HANDSHAKE).await;
            (out.split_off(GREETING), error.to_string())
        })
    }

    #[test]
    fn frames_pass_within_the_limits_and_none_beyond() {
        let ready = frame(4, b"READY");
        let message = [frame(1, b"identity"), vec![0, 3, 1, 2, 3]].concat();
        let good = [ready.clone(), message].concat();
        assert_eq!(passed(&good).0, good);
        let announced = |flags: u8, length: u64| [&ready[..], &[flags], &length.to_be_bytes()].concat();
        for (bytes, why) in [
            (announced(2, 1 << 46), "a message of"),
            (announced(2, MESSAGE), "a message of"),
            (announced(6, COMMAND + 1), "a command of"),
            (announced(2, u64::MAX), "a message of"),
            (announced(8, 1), "no frame begins with the byte 8"),
            (announced(7, 1), "no frame begins with the byte 7"),
        ] {
            let (out, error) = passed(&bytes);
            assert_eq!(out, ready);
            assert!(error.starts_with(why), "{error}");
        }
        // Of many frames as well, also with commands between them: each costs something, the empty ones too.
        let frames = [ready.clone(), [1, 0, 4, 0].repeat((MESSAGE / FRAME) as usize + 1)].concat();
        assert!(passed(&frames).1.starts_with("a message of"), "{}", passed(&frames).1);
    }

    #[test]
    fn a_client_that_does_not_say_who_it_is_is_sent_away() {
        for said in [&[][..], &[0; GREETING], &[&[0; GREETING][..], &[4, 5, b'R']].concat()] {
            let ended = runtime().block_on(async {
                let (mut ours, theirs) = duplex(1 << 10);
                ours.write_all(said).await.unwrap();
                inward(theirs, tokio::io::sink(), Duration::from_millis(50)).await
            });
            assert!(ended.to_string().contains("it has not said who it is"), "{ended}");
        }
    }

    #[test]
    fn unfinished_messages_of_all_clients_have_one_limit() {
        let (mut first, all) = (open(), Arc::new(AtomicUsize::new(0)));
        first.all = Arc::clone(&all);
        assert!(first.grow(UNFINISHED));
        let mut second = Open { all: Arc::clone(&all), own: 0 };
        assert!(!second.grow(1));
        first.end();
        assert!(second.grow(1));
        drop(second);
        assert_eq!(all.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_client_that_does_not_read_loses_outputs_and_nothing_else() {
        runtime().block_on(async {
            let ((mut kernel, socket), (client, mut reader)) = (duplex(1 << 20), duplex(1 << 10));
            let gate = tokio::spawn(outward(socket, client, true));
            kernel.write_all(&[0; GREETING]).await.unwrap();
            let output = [frame(1, b"kernel.stream"), frame(0, &vec![7; 1 << 20])].concat();
            let status = [frame(1, b"kernel.status"), frame(0, b"idle")].concat();
            let start = tokio::time::Instant::now();
            for _ in 0..100 {
                kernel.write_all(&output).await.unwrap();
                kernel.write_all(&status).await.unwrap();
            }
            // One pause, in which a slow client would have read.
            assert!(start.elapsed() < PAUSE * 2, "{:?}", start.elapsed());
            reader.read_exact(&mut [0; GREETING]).await.unwrap();
            let (mut outputs, mut states) = (0, 0);
            while states < 100 {
                match is_output(&message(&mut reader).await.unwrap()) {
                    true => outputs += 1,
                    false => states += 1,
                }
            }
            assert!((10..17).contains(&outputs), "{outputs}");
            // Once it has caught up, it misses nothing again.
            kernel.write_all(&output).await.unwrap();
            assert!(is_output(&message(&mut reader).await.unwrap()));
            gate.abort();
        });
    }
}
