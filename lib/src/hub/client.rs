//! A request → the hub's answer: redirects without the token, time-outs, repeated attempts, and an end at any moment.
//!
//! The network is used in a thread of its own, so that a network that says nothing does not hold the cell.

use std::cell::RefCell;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use serde_json::Value;
use ureq::http::{HeaderMap, Request};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Proxy};

use crate::border::limits::{HUB_ANSWER, Limit, REFUSAL};
use crate::error::{Error, ErrorKind, Result};
use crate::hub::failure;
use crate::hub::meter::Meter;
use crate::hub::options::HubOptions;
use crate::hub::payload::{Payload, Stop, body};
use crate::hub::trouble::{RepoRef, TransportError};
use crate::util::interrupt;
use crate::util::panic::caught;

/// How often a request is tried.
const ATTEMPTS: u32 = 5;
/// The longest wait that the hub may ask for.
const LONGEST: Duration = Duration::from_secs(300);
/// Redirects in a row.
const REDIRECTS: usize = 10;
/// Bytes that are read at once.
const CHUNK: usize = 1 << 16;

/// A request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Call {
    pub(crate) method: &'static str,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) payload: Payload,
    /// Whether a redirect to another server is an answer; otherwise it is followed.
    pub(crate) stay: bool,
    /// A status that is no refusal here.
    pub(crate) also: Option<u16>,
}

impl Call {
    pub(crate) fn new(method: &'static str, url: impl Into<String>) -> Self {
        Self { method, url: url.into(), ..Default::default() }
    }

    /// The same call with a JSON text.
    pub(crate) fn json(mut self, value: &Value) -> Self {
        self.headers.push(("content-type".to_string(), "application/json".to_string()));
        Self { payload: Payload::Bytes(value.to_string().into_bytes()), ..self }
    }
}

/// What the thread tells.
enum Event {
    Head(u16, HeaderMap),
    Chunk(Vec<u8>),
    End,
    Failed(TransportError),
}

/// An answer whose body is still to be read.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// Where it came from.
    pub(crate) url: String,
    events: Receiver<Event>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The next bytes; none at the end.
    pub(crate) fn chunk(&self, doing: &dyn Fn() -> String) -> Result<Result<Option<Vec<u8>>, TransportError>> {
        match wait(&self.events, doing)? {
            Event::Chunk(bytes) => Ok(Ok(Some(bytes))),
            Event::Failed(trouble) => Ok(Err(trouble)),
            Event::Head(..) | Event::End => Ok(Ok(None)),
        }
    }

    /// The body up to a limit; whether that is all of it.
    fn bytes(&self, limit: Limit, doing: &dyn Fn() -> String) -> Result<Result<(Vec<u8>, bool), TransportError>> {
        let mut bytes = Vec::new();
        loop {
            match self.chunk(doing)? {
                Ok(Some(chunk)) => bytes.extend(chunk),
                Ok(None) => return Ok(Ok((bytes, true))),
                Err(trouble) => return Ok(Err(trouble)),
            }
            if bytes.len() as u64 > limit.bytes {
                return Ok(Ok((bytes, false)));
            }
        }
    }
}

/// Waits for the thread without holding the cell.
fn wait(events: &Receiver<Event>, doing: &dyn Fn() -> String) -> Result<Event> {
    loop {
        match events.recv_timeout(Duration::from_millis(100)) {
            Ok(event) => return Ok(event),
            Err(RecvTimeoutError::Timeout) => interrupt::check(doing())?,
            Err(RecvTimeoutError::Disconnected) => return Ok(Event::Failed(TransportError::Cut("the connection was lost".to_string()))),
        }
    }
}

/// The attempts at one thing: each failure costs a wait or ends them.
pub(crate) struct Attempts {
    left: u32,
    delay: Duration,
    sleep: fn(Duration) -> Result<()>,
}

impl Attempts {
    /// Waits before the next attempt, or says why there is none.
    pub(crate) fn again(&mut self, trouble: &TransportError, place: &RepoRef) -> Result<()> {
        self.left -= 1;
        let asked = if let TransportError::Busy(_, asked) = trouble { *asked } else { None };
        let hopeless = matches!(trouble, TransportError::Unreachable(_)) || asked.is_some_and(|time| time > LONGEST);
        if hopeless || self.left == 0 {
            return Err(failure::retries_exhausted(trouble, place, ATTEMPTS - self.left));
        }
        let delay = asked.unwrap_or(self.delay);
        self.delay *= 2;
        (self.sleep)(delay)
    }

    /// Starts counting anew: there was progress.
    pub(crate) fn progress(&mut self) {
        self.left = ATTEMPTS;
        self.delay = Duration::from_secs(1);
    }
}

/// One hub, with the right to ask it.
pub(crate) struct Client {
    agent: Agent,
    pub(crate) endpoint: String,
    pub(crate) token: Option<String>,
    timeout: Duration,
    sleep: fn(Duration) -> Result<()>,
    /// The progress of what is sent, with the bytes sent before the present call.
    pub(crate) meter: RefCell<Option<(Meter, u64)>>,
}

impl Client {
    /// A client that waits `times` the options' time-out.
    pub(crate) fn new(options: &HubOptions, times: u32) -> Result<Self> {
        let timeout = options.patience() * times;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .accept_encoding("identity")
            .user_agent("finetuning-rs/0.1");
        let config = config.timeout_connect(Some(timeout)).timeout_resolve(Some(timeout)).timeout_per_read(Some(timeout));
        // The certificates that the machine trusts, its owner's own among them.
        let trusted = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let (endpoint, token) = (options.address()?, options.access_token()?);
        let here =
            ["127.", "localhost", "[::1]"].iter().any(|start| endpoint.split("://").last().is_some_and(|host| host.starts_with(start)));
        let proxy = if here { None } else { Proxy::try_from_env() };
        let agent = config.timeout_per_write(Some(timeout)).tls_config(trusted).proxy(proxy).build().new_agent();
        Ok(Self { agent, endpoint, token, timeout, sleep: options.sleep, meter: RefCell::default() })
    }

    pub(crate) fn attempts(&self) -> Attempts {
        Attempts { left: ATTEMPTS, delay: Duration::from_secs(1), sleep: self.sleep }
    }

    /// The answer to a call, after as many attempts as it takes.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Interrupted`]; [`crate::ErrorKind::Name`] when the hub refuses or cannot be asked.
    pub(crate) fn send(&self, call: &Call, place: &RepoRef) -> Result<Answer> {
        let mut attempts = self.attempts();
        loop {
            match self.once(call, place)? {
                Ok(answer) => return Ok(answer),
                Err(trouble) => attempts.again(&trouble, place)?,
            }
        }
    }

    /// The JSON that answers a call.
    pub(crate) fn json(&self, call: &Call, place: &RepoRef) -> Result<Value> {
        let mut attempts = self.attempts();
        loop {
            let bytes = match self.once(call, place)? {
                Ok(answer) => answer.bytes(HUB_ANSWER, &|| place.doing())?,
                Err(trouble) => Err(trouble),
            };
            match bytes {
                Ok((_, false)) => return Err(failure::too_long(place, HUB_ANSWER.bytes)),
                Ok((bytes, true)) => return serde_json::from_slice(&bytes).map_err(|error| failure::no_json(place, error)),
                Err(trouble) => attempts.again(&trouble, place)?,
            }
        }
    }

    /// One attempt; a refusal is an error, a failure that may pass is a [`TransportError`].
    pub(crate) fn once(&self, call: &Call, place: &RepoRef) -> Result<Result<Answer, TransportError>> {
        let mut url = call.url.clone();
        for _ in 0..=REDIRECTS {
            let answer = match self.ask(call, &url, place)? {
                Ok(answer) => answer,
                Err(trouble) => return Ok(Err(trouble)),
            };
            let location = answer.header("location").map(String::from).filter(|_| (301..=308).contains(&answer.status));
            match (answer.status, location) {
                (200..300, _) => return Ok(Ok(answer)),
                (status, _) if call.also == Some(status) => return Ok(Ok(answer)),
                (_, Some(to)) => {
                    if call.stay && !to.starts_with('/') {
                        return Ok(Ok(answer));
                    }
                    url = target(&url, &to);
                }
                (429 | 500 | 502 | 503 | 504, _) => {
                    let asked = answer.header("retry-after").and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
                    return Ok(Err(TransportError::Busy(answer.status, asked)));
                }
                _ => return Err(self.refused(answer, place)?),
            }
        }
        Err(failure::circle(place, &url))
    }

    fn refused(&self, answer: Answer, place: &RepoRef) -> Result<Error> {
        let body = match answer.header("x-error-message") {
            Some(_) => Vec::new(),
            None => answer.bytes(REFUSAL, &|| place.doing())?.unwrap_or_default().0,
        };
        Ok(failure::refused(answer.status, &answer.headers, &String::from_utf8_lossy(&body), place, self.token.is_some()))
    }

    /// Sends to one server and waits for its head.
    fn ask(&self, call: &Call, url: &str, place: &RepoRef) -> Result<Result<Answer, TransportError>> {
        let mut request = Request::builder().method(call.method).uri(url);
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        // The token is the hub's alone.
        if let Some(token) = self.token.as_ref().filter(|_| origin(url) == origin(&self.endpoint)) {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let (events, receiver) = sync_channel(4);
        let (agent, payload, timeout) = (self.agent.clone(), call.payload.clone(), self.timeout);
        let stopped = Stop(Arc::default());
        let sent = Arc::new(AtomicU64::new(0));
        let (flag, counter) = (stopped.0.clone(), sent.clone());
        std::thread::spawn(move || {
            let work = || {
                let answered = body(payload, &mut request, flag, counter).and_then(|body| agent.run(request.body(body)?));
                answered.and_then(|response| tell(response, &events))
            };
            match caught(ErrorKind::Name, || Ok(work())) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => drop(events.send(Event::Failed(trouble(error, timeout)))),
                Err(panic) => drop(events.send(Event::Failed(TransportError::Cut(panic.message().to_string())))),
            }
        });
        let doing = || {
            if let Some((meter, before)) = &mut *self.meter.borrow_mut() {
                meter.update(*before + sent.load(Ordering::Relaxed));
            }
            place.doing()
        };
        match wait(&receiver, &doing)? {
            Event::Head(status, headers) => Ok(Ok(Answer { status, headers, url: url.to_string(), events: receiver })),
            Event::Failed(trouble) => Ok(Err(trouble)),
            Event::Chunk(_) | Event::End => Ok(Err(TransportError::Cut("no head".to_string()))),
        }
    }
}

/// Passes an answer on, until nobody listens.
fn tell(response: ureq::http::Response<ureq::Body>, events: &SyncSender<Event>) -> Result<(), ureq::Error> {
    let (head, body) = response.into_parts();
    if events.send(Event::Head(head.status.as_u16(), head.headers)).is_err() {
        return Ok(());
    }
    let mut reader = body.into_reader();
    loop {
        let mut chunk = vec![0; CHUNK];
        let read = reader.read(&mut chunk)?;
        chunk.truncate(read);
        if read == 0 {
            let _ = events.send(Event::End);
            return Ok(());
        }
        if events.send(Event::Chunk(chunk)).is_err() {
            return Ok(());
        }
    }
}

fn trouble(error: ureq::Error, timeout: Duration) -> TransportError {
    match error {
        ureq::Error::Timeout(_) => TransportError::Silent(timeout),
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => TransportError::Silent(timeout),
        // What rustls says of a certificate comes as InvalidData; a name that nobody knows has no kind of its own.
        ureq::Error::Io(error)
            if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::InvalidData)
                || error.to_string().contains("lookup") =>
        {
            TransportError::Unreachable(error.to_string())
        }
        error @ (ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed
        | ureq::Error::BadUri(_)
        | ureq::Error::Tls(_)
        | ureq::Error::Rustls(_)
        | ureq::Error::Http(_)) => TransportError::Unreachable(error.to_string()),
        error => TransportError::Cut(error.to_string()),
    }
}

/// The scheme, host and port of an address.
pub(crate) fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |place| place + 3);
    url[host..].find('/').map_or(url, |length| &url[..host + length])
}

/// Where a redirect leads.
fn target(url: &str, location: &str) -> String {
    match location {
        whole if whole.contains("://") => whole.to_string(),
        path if path.starts_with('/') => format!("{}{path}", origin(url)),
        name => format!("{}/{name}", url.rsplit_once('/').map_or(url, |(folder, _)| folder)),
    }
}
