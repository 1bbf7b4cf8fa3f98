//! The TCP ports of a connection file → the sockets themselves, which listen in a private folder.
//!
//! Anyone on the machine can reach the ports, and the sockets' own reader allocates what a frame announces and waits for
//! clients that do not read. So every frame goes through here, in and out within the limits of `passage`.

use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use jupyter_protocol::connection_info::Transport;
use jupyter_zmq_client::ConnectionInfo;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Semaphore;

use crate::kernel::protocol::passage::{HANDSHAKE, Inward, outward};

/// How many clients a port serves at once.
const CLIENTS: usize = 256;
/// The longest path of a socket that every system takes.
const PATH: usize = 90;

/// Where the sockets listen, and the ports that lead to them.
pub struct Gate {
    outer: ConnectionInfo,
    inner: ConnectionInfo,
    /// A folder of its own, where the session's has too long a name.
    _folder: Option<TempDir>,
}

impl Gate {
    /// A gate for a connection file, with its sockets in the private folder.
    ///
    /// # Errors
    /// The folder's name is too long for a socket, and no other can be made.
    pub fn new(outer: &ConnectionInfo, folder: &Path) -> Result<Gate> {
        let short = (folder.as_os_str().len() > PATH).then(|| TempDir::new_in("/tmp")).transpose()?;
        let folder = short.as_ref().map_or(folder, TempDir::path);
        let mut inner = outer.clone();
        // A socket of the file system is behind its permissions already.
        if matches!(outer.transport, Transport::TCP) {
            (inner.transport, inner.ip) = (Transport::IPC, folder.join("s").display().to_string());
        }
        Ok(Gate { outer: outer.clone(), inner, _folder: short })
    }

    /// The connection on which the sockets listen.
    pub fn inner(&self) -> &ConnectionInfo {
        &self.inner
    }

    /// Opens the ports; call it when the sockets listen.
    ///
    /// # Errors
    /// A port is taken.
    pub async fn open(&self) -> Result<()> {
        let Gate { outer, inner, .. } = self;
        if !matches!(outer.transport, Transport::TCP) {
            return Ok(());
        }
        let unfinished = Arc::new(AtomicUsize::new(0));
        let address = if outer.ip == "*" { "0.0.0.0" } else { &outer.ip };
        for port in [outer.shell_port, outer.iopub_port, outer.stdin_port, outer.control_port, outer.hb_port] {
            let named = |error: Error| Error::new(error.kind(), format!("{address}:{port}: {error}"));
            let listener = TcpListener::bind((address, port)).await.map_err(named)?;
            let socket = PathBuf::from(format!("{}-{port}", inner.ip));
            tokio::spawn(accept(listener, socket, port == outer.iopub_port, Arc::clone(&unfinished)));
        }
        Ok(())
    }
}

async fn accept(listener: TcpListener, socket: PathBuf, publishes: bool, unfinished: Arc<AtomicUsize>) {
    let places = Arc::new(Semaphore::new(CLIENTS));
    loop {
        let Ok((client, _)) = listener.accept().await else {
            // Such as no descriptors left.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let (socket, unfinished) = (socket.clone(), Arc::clone(&unfinished));
        tokio::spawn(async move {
            match pass(client, &socket, publishes, unfinished).await {
                Err(error) if error.kind() == ErrorKind::InvalidData => eprintln!("a client was sent away: {error}"),
                _ => {}
            }
            drop(place);
        });
    }
}

/// Passes on what a client and a socket say to each other, until one of them has gone.
async fn pass(client: TcpStream, socket: &Path, publishes: bool, unfinished: Arc<AtomicUsize>) -> Result<()> {
    client.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_socket, to_socket) = UnixStream::connect(socket).await?.into_split();
    let inward = Inward::new(from_client, to_socket, unfinished);
    tokio::select! {
        ended = inward.pass(HANDSHAKE) => ended,
        ended = outward(from_socket, to_client, publishes) => ended,
    }
}
