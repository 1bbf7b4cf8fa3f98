//! Connections of clients → those that are heard: so many at once, and none that asks for nothing for long. Half of a request's
//! head, sent and left, holds nobody else up.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::Next;
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// What connections may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once; more wait until one ends.
    pub connections: usize,
    /// Time to send the head of the first request.
    pub head: Duration,
    /// Time from the last byte of an answer to the next request.
    pub idle: Duration,
}

impl Default for Limits {
    /// Fewer connections than a process may usually have files open.
    fn default() -> Self {
        Self { connections: 512, head: Duration::from_secs(10), idle: Duration::from_secs(75) }
    }
}

/// A listener that keeps the limits.
pub struct Connections {
    listener: TcpListener,
    limits: Limits,
    free: Arc<Semaphore>,
}

impl Connections {
    /// The connections of a listener.
    pub fn new(listener: TcpListener, limits: Limits) -> Self {
        Self { listener, limits, free: Arc::new(Semaphore::new(limits.connections)) }
    }
}

impl Listener for Connections {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        // The semaphore is never closed.
        let permit = self.free.clone().acquire_owned().await.ok();
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let deadline = Box::pin(sleep(self.limits.head));
        (Connection { stream, deadline, idle: self.limits.idle, writes: false, busy: Busy::default(), _permit: permit }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// One connection; reading from it fails when no request came in time.
pub struct Connection {
    stream: TcpStream,
    deadline: Pin<Box<Sleep>>,
    idle: Duration,
    /// Whether the client has yet to take what was written.
    writes: bool,
    busy: Busy,
    _permit: Option<OwnedSemaphorePermit>,
}

/// How many requests of a connection are being answered.
#[derive(Debug, Clone, Default)]
pub struct Busy(Arc<AtomicUsize>);

impl Connected<IncomingStream<'_, Connections>> for Busy {
    fn connect_info(stream: IncomingStream<'_, Connections>) -> Self {
        stream.io().busy.clone()
    }
}

/// Notes that a request's head is whole, until its answer begins.
pub async fn mark(ConnectInfo(busy): ConnectInfo<Busy>, request: Request, next: Next) -> Response {
    struct Mark(Busy);
    impl Drop for Mark {
        fn drop(&mut self) {
            self.0.0.fetch_sub(1, Ordering::AcqRel);
        }
    }
    busy.0.fetch_add(1, Ordering::AcqRel);
    let _mark = Mark(busy);
    next.run(request).await
}

impl Connection {
    fn wait_again(&mut self) {
        self.deadline.as_mut().reset(Instant::now() + self.idle);
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(result) = Pin::new(&mut self.stream).poll_read(context, buffer) {
            return Poll::Ready(result);
        }
        if self.writes || self.busy.0.load(Ordering::Acquire) > 0 {
            self.wait_again();
        }
        ready!(self.deadline.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "no request came")))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.writes = result.is_pending();
        self.wait_again();
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use axum::Router;
    use axum::middleware::from_fn;
    use axum::routing::get;

    use super::*;

    /// A service with tight limits whose answer to `/slow` takes longer than they allow a silent client.
    fn serve(limits: Limits) -> SocketAddr {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async move {
                let slow = || async {
                    sleep(Duration::from_millis(900)).await;
                    "slow"
                };
                let router = Router::new().route("/", get(|| async { "fast" })).route("/slow", get(slow)).layer(from_fn(mark));
                let connections = Connections::new(TcpListener::from_std(listener).unwrap(), limits);
                axum::serve(connections, router.into_make_service_with_connect_info::<Busy>()).await.unwrap();
            });
        });
        address
    }

    fn send(address: SocketAddr, text: &str) -> std::net::TcpStream {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream
    }

    fn rest(mut stream: std::net::TcpStream) -> String {
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text);
        text
    }

    #[test]
    fn half_a_head_holds_nobody_up_and_an_answer_may_take_its_time() {
        let limits = Limits { connections: 2, head: Duration::from_millis(300), idle: Duration::from_millis(300) };
        let address = serve(limits);
        let silent: Vec<_> = (0..4).map(|_| send(address, "GET / HTTP/1.1\r\nHost: a\r\n")).collect();
        let asked = std::time::Instant::now();
        assert!(rest(send(address, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).ends_with("fast"));
        assert!(asked.elapsed() < Duration::from_secs(10));
        assert!(silent.into_iter().all(|stream| !rest(stream).contains("200 OK")));
        // A slow answer is no silent client; one that asks nothing more is sent away.
        let asked = std::time::Instant::now();
        assert!(rest(send(address, "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")).ends_with("slow"));
        assert!(asked.elapsed() >= Duration::from_millis(1100) && asked.elapsed() < Duration::from_secs(10));
    }
}
